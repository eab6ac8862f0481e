import { randomBytes } from 'node:crypto';
import { DigestMismatchError, DiskSpaceError } from '../errors.js';
import type { AppliedLayer, LayerApplier } from '../layer/index.js';
import { digestHex, MEDIA_TYPE, nextChainId, type ChainId, type Descriptor, type DiffId } from '../spec/index.js';
import { GrowingFile } from '../util/index.js';
import type { BlobArrivals } from './blob-arrivals.js';
import type { OperationDeps } from './deps.js';

/** One layer of an image: where its bytes come from and what it must become. */
export interface LayerStep {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
}

/** What a layer is called in a manifest, by its compression. */
export const LAYER_TYPE = {
  gzip: MEDIA_TYPE.ociLayerGzip,
  zstd: MEDIA_TYPE.ociLayerZstd,
  none: MEDIA_TYPE.ociLayer,
} as const;

type UnpackDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>;

/**
 * Unpacks the layers that are not there, strictly oldest first, each as soon as its bytes arrive, and publishes each under
 * its chainID. Throws what `LayerApplier.apply` throws, and DigestMismatchError when a diffID is not the config's.
 * A failed layer is rolled back; finished ones stay.
 */
export async function unpackLayers(
  deps: UnpackDeps,
  arrivals: BlobArrivals,
  applier: LayerApplier,
  options: { readonly steps: readonly LayerStep[]; readonly bootId: string; readonly signal: AbortSignal },
): Promise<void> {
  const { bootId, signal } = options;
  for (const step of options.steps) await unpackLayer(deps, arrivals, applier, { step, bootId, signal });
}

async function unpackLayer(
  deps: UnpackDeps,
  arrivals: BlobArrivals,
  applier: LayerApplier,
  { step, bootId, signal }: { step: LayerStep; bootId: string; signal: AbortSignal },
): Promise<void> {
  const lock = await deps.metadata.lock(`layer-${digestHex(step.chainId)}`, { mode: 'exclusive', signal });
  const key = randomBytes(16).toString('hex');
  const alive = await deps.metadata.lock(`work-${key}`, { mode: 'exclusive', signal });
  try {
    if (await deps.snapshots.has(step.chainId)) return;
    const applied = await applyVerified(deps, arrivals, applier, { step, key, signal });
    if (applied.diffId !== step.diffId) {
      throw new DigestMismatchError(
        `layer ${step.blob.digest} has diffID ${applied.diffId}, the config says ${step.diffId}`,
        {
          expected: step.diffId,
          actual: applied.diffId,
          hint: 'the image is broken at its source: its config does not match its layers',
        },
      );
    }
    await publish(deps, { step, key, applied, bootId });
  } catch (error) {
    await deps.snapshots.removeWork(key);
    throw error;
  } finally {
    alive.release();
    lock.release();
  }
}

/**
 * Unpacks a layer whose diffID nobody has told, and publishes it under the chainID that it turns out to have. Throws what
 * `LayerApplier.apply` throws; the layer is rolled back then.
 */
export async function unpackUnknown(
  deps: UnpackDeps,
  arrivals: BlobArrivals,
  applier: LayerApplier,
  options: {
    readonly blob: Descriptor;
    readonly parent: ChainId | undefined;
    readonly bootId: string;
    readonly signal: AbortSignal;
  },
): Promise<LayerStep> {
  const { blob, parent, bootId, signal } = options;
  const key = randomBytes(16).toString('hex');
  const alive = await deps.metadata.lock(`work-${key}`, { mode: 'exclusive', signal });
  try {
    const applied = await applyVerified(deps, arrivals, applier, { step: { blob, parent }, key, signal });
    const chainId = nextChainId(parent, applied.diffId);
    const mediaType = LAYER_TYPE[applied.compression];
    const step = { blob: { ...blob, mediaType }, diffId: applied.diffId, chainId, parent };
    const lock = await deps.metadata.lock(`layer-${digestHex(chainId)}`, { mode: 'exclusive', signal });
    try {
      if (!(await deps.snapshots.has(chainId))) await publish(deps, { step, key, applied, bootId });
    } finally {
      lock.release();
    }
    return step;
  } finally {
    await deps.snapshots.removeWork(key);
    alive.release();
  }
}

async function publish(
  deps: UnpackDeps,
  {
    step,
    key,
    applied,
    bootId,
  }: { readonly step: LayerStep; readonly key: string; readonly applied: AppliedLayer; readonly bootId: string },
): Promise<void> {
  await deps.snapshots.commit(step.chainId, key);
  await deps.metadata.layers.put(digestHex(step.chainId), {
    version: 1,
    chainId: step.chainId,
    ...(step.parent === undefined ? {} : { parent: step.parent }),
    diffId: step.diffId,
    blob: step.blob,
    size: applied.size,
    entries: applied.entries,
    sealed: false,
    bootId,
  });
  for (const note of applied.notes) deps.progress.note(note);
  deps.progress.event({
    v: 1,
    kind: 'layer',
    action: 'unpack',
    digest: step.blob.digest,
    state: 'done',
    transferred: applied.size,
    total: applied.size,
  });
}

/**
 * Unpacks while the bytes arrive, and judges only when the download has verified them: bytes that were wrong and fetched
 * again may have been unpacked with an error, or without one. Then all is unpacked anew, from the finished blob.
 */
async function applyVerified(
  deps: UnpackDeps,
  arrivals: BlobArrivals,
  applier: LayerApplier,
  job: { step: Pick<LayerStep, 'blob' | 'parent'>; key: string; signal: AbortSignal },
): Promise<AppliedLayer> {
  const { digest } = job.step.blob;
  const first = await applyOnce(deps, arrivals, applier, job).catch((error: unknown) => {
    // The disk is full and the user impatient whatever the bytes are.
    if (error instanceof DiskSpaceError || job.signal.aborted) throw error;
    return { error };
  });
  await arrivals.done(digest);
  if ((await arrivals.readable(digest)).growing.failed) {
    await deps.snapshots.removeWork(job.key);
    return applyOnce(deps, arrivals, applier, job);
  }
  if ('error' in first) throw first.error;
  return first;
}

async function applyOnce(
  deps: UnpackDeps,
  arrivals: BlobArrivals,
  applier: LayerApplier,
  { step, key, signal }: { step: Pick<LayerStep, 'blob' | 'parent'>; key: string; signal: AbortSignal },
): Promise<AppliedLayer> {
  const { fd, growing } = await arrivals.readable(step.blob.digest);
  const root = await deps.snapshots.prepare(key, step.parent);
  return applier.apply({
    fd,
    growing: growing.failed ? GrowingFile.complete(step.blob.size) : growing,
    root,
    signal,
    onProgress: (transferred) =>
      deps.progress.event({
        v: 1,
        kind: 'layer',
        action: 'unpack',
        digest: step.blob.digest,
        state: 'active',
        transferred,
      }),
  });
}
