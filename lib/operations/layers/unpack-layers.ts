import { randomBytes } from 'node:crypto';
import { DigestMismatchError, DiskSpaceError } from '../../errors.js';
import type { AppliedLayer, LayerApplier } from '../../layer/index.js';
import {
  digestHex,
  layerMediaType,
  nextChainId,
  type ChainId,
  type Descriptor,
  type DiffId,
} from '../../spec/index.js';
import { GrowingFile } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import type { BlobDownloads } from '../download/index.js';
import { dropUnrecorded, isRecorded, withWorkKey } from '../store/index.js';

/** A layer of an image: the source of its bytes, and its expected result. */
export interface LayerPlan {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
}

type UnpackDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'progress'>;

/** A layer being unpacked: its directory, and the locks on its name and its directory. */
interface LayerWork {
  readonly step: LayerPlan;
  readonly key: string;
  readonly root: string;
  readonly release: () => void;
}

/** An unpacked and verified layer without a name. */
interface UnpackedLayer extends LayerWork {
  readonly applied: AppliedLayer;
}

/**
 * Unpacks the layers that the store lacks, strictly oldest first, each as soon as its bytes arrive. Publishes each
 * under its chainID while the next one is being unpacked. A failed layer is rolled back; finished ones stay. Throws the
 * errors of `LayerApplier.apply`, and DigestMismatchError for a diffID that differs from the config's.
 */
export async function unpackLayers(
  deps: UnpackDeps,
  downloads: BlobDownloads,
  applier: LayerApplier,
  options: { readonly steps: readonly LayerPlan[]; readonly signal: AbortSignal },
): Promise<void> {
  const { signal } = options;
  let below: UnpackedLayer | undefined;
  for (const step of options.steps) {
    const work = await beginLayer(deps, { step, below: below?.key, signal }).catch(async (error: unknown) => {
      if (below !== undefined) await publishUnpacked(deps, below);
      throw error;
    });
    // Publishing waits for the disk. The next layer does not wait, because it is a snapshot of the work and needs no
    // named parent.
    const published = below === undefined ? Promise.resolve() : publishUnpacked(deps, below);
    published.catch(() => undefined);
    below = undefined;
    try {
      if (work !== undefined) below = await unpackLayer(deps, downloads, applier, { work, published, signal });
      await published;
    } catch (error) {
      if (below !== undefined) await rollBack(deps, below);
      await published;
      throw error;
    }
  }
  if (below !== undefined) await publishUnpacked(deps, below);
}

/** Locks a layer and creates the directory to unpack it into. Undefined when the store has the layer. */
async function beginLayer(
  deps: UnpackDeps,
  { step, below, signal }: { step: LayerPlan; below: string | undefined; signal: AbortSignal },
): Promise<LayerWork | undefined> {
  const lock = await deps.metadata.lock(`layer-${digestHex(step.chainId)}`, { mode: 'exclusive', signal });
  const releases = [() => lock.release()];
  const release = (): void => {
    for (const one of releases.splice(0).reverse()) one();
  };
  try {
    if (await isRecorded(deps, step.chainId)) {
      release();
      return undefined;
    }
    await dropUnrecorded(deps, step.chainId, signal);
    const key = randomBytes(16).toString('hex');
    const alive = await deps.metadata.lock(`work-${key}`, { mode: 'exclusive', signal });
    releases.push(() => alive.release());
    const root = await deps.snapshots.prepare(key, below === undefined ? step.parent : { work: below });
    return { step, key, root, release };
  } catch (error) {
    release();
    throw error;
  }
}

async function rollBack(deps: UnpackDeps, { key, release }: LayerWork): Promise<void> {
  try {
    await deps.snapshots.removeWork(key);
  } finally {
    release();
  }
}

/**
 * Unpacks a layer and checks its diffID. `published`: resolves when the layer below has its name. Rolls back on
 * failure.
 */
async function unpackLayer(
  deps: UnpackDeps,
  downloads: BlobDownloads,
  applier: LayerApplier,
  { work, published, signal }: { work: LayerWork; published: Promise<void>; signal: AbortSignal },
): Promise<UnpackedLayer> {
  const { step, key, root } = work;
  const newRoot = async (): Promise<string> => {
    await published;
    return deps.snapshots.prepare(key, step.parent);
  };
  try {
    const applied = await applyVerified(deps, downloads, applier, { blob: step.blob, key, root, newRoot, signal });
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
    return { ...work, applied };
  } catch (error) {
    await rollBack(deps, work);
    throw error;
  }
}

/** Rolls back on failure. */
async function publishUnpacked(deps: UnpackDeps, layer: UnpackedLayer): Promise<void> {
  try {
    await publish(deps, layer);
  } catch (error) {
    await deps.snapshots.removeWork(layer.key);
    throw error;
  } finally {
    layer.release();
  }
}

/**
 * Unpacks a layer without a declared diffID, and publishes it under the resulting chainID. Rolls back on failure.
 * Throws the errors of `LayerApplier.apply`.
 */
export async function unpackUndeclaredLayer(
  deps: UnpackDeps,
  downloads: BlobDownloads,
  applier: LayerApplier,
  options: {
    readonly blob: Descriptor;
    readonly parent: ChainId | undefined;
    readonly signal: AbortSignal;
  },
): Promise<LayerPlan> {
  const { blob, parent, signal } = options;
  return withWorkKey(deps, signal, async (key) => {
    const newRoot = (): Promise<string> => deps.snapshots.prepare(key, parent);
    const job = { blob, key, root: await newRoot(), newRoot, signal };
    const applied = await applyVerified(deps, downloads, applier, job);
    const chainId = nextChainId(parent, applied.diffId);
    const mediaType = layerMediaType('oci', applied.compression, '');
    const step = { blob: { ...blob, mediaType }, diffId: applied.diffId, chainId, parent };
    const lock = await deps.metadata.lock(`layer-${digestHex(chainId)}`, { mode: 'exclusive', signal });
    try {
      if (!(await isRecorded(deps, chainId))) {
        await dropUnrecorded(deps, chainId, signal);
        await publish(deps, { step, key, applied });
      }
    } finally {
      lock.release();
    }
    return step;
  });
}

async function publish(
  deps: UnpackDeps,
  { step, key, applied }: { readonly step: LayerPlan; readonly key: string; readonly applied: AppliedLayer },
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
    bootId: deps.metadata.bootId,
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
 * Unpacks into `root` while the bytes arrive, and waits until the download has verified them. Bytes that were wrong and
 * downloaded again may have been unpacked with or without an error; in this case unpacks the finished blob into a new
 * root from `newRoot`.
 */
async function applyVerified(
  deps: UnpackDeps,
  downloads: BlobDownloads,
  applier: LayerApplier,
  job: {
    readonly blob: Descriptor;
    readonly key: string;
    readonly root: string;
    readonly newRoot: () => Promise<string>;
    readonly signal: AbortSignal;
  },
): Promise<AppliedLayer> {
  const { digest } = job.blob;
  const first = await applyOnce(deps, downloads, applier, job).catch((error: unknown) => {
    // These errors do not depend on the bytes.
    if (error instanceof DiskSpaceError || job.signal.aborted) throw error;
    return { error };
  });
  await downloads.done(digest);
  if ((await downloads.readable(digest)).growing.failed) {
    await deps.snapshots.removeWork(job.key);
    return applyOnce(deps, downloads, applier, { ...job, root: await job.newRoot() });
  }
  if ('error' in first) throw first.error;
  return first;
}

async function applyOnce(
  deps: UnpackDeps,
  downloads: BlobDownloads,
  applier: LayerApplier,
  { blob, root, signal }: { readonly blob: Descriptor; readonly root: string; readonly signal: AbortSignal },
): Promise<AppliedLayer> {
  const { fd, growing } = await downloads.readable(blob.digest);
  return applier.apply({
    fd,
    growing: growing.failed ? GrowingFile.complete(blob.size) : growing,
    size: blob.size,
    root,
    signal,
    onProgress: (transferred) =>
      deps.progress.event({
        v: 1,
        kind: 'layer',
        action: 'unpack',
        digest: blob.digest,
        state: 'active',
        transferred,
      }),
  });
}
