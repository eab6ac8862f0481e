import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { LayerFormatError, UnsupportedMediaTypeError, UsageError } from '../errors.js';
import type { AppliedLayer } from '../layer/index.js';
import {
  applyConfigChange,
  digestHex,
  formatPlatform,
  formatReference,
  hostPlatform,
  MEDIA_TYPE,
  nextChainId,
  type ChainId,
  type Descriptor,
  type Digest,
  type ExecutionConfig,
  type Reference,
} from '../spec/index.js';
import { GrowingFile } from '../util/index.js';
import type { OperationDeps } from './deps.js';
import { createdAt, putDocument } from './documents.js';
import { dropUnusedBlobs } from './drop-unused-blobs.js';
import { lockStore } from './lock-store.js';
import { recordImage } from './record-image.js';
import { sweepStore } from './sweep-store.js';
import { LAYER_TYPE } from './unpack-layers.js';

/** What to make an image of and how. */
export interface ImportRequest {
  /** A tar of a root file system, compressed with gzip, zstd or not; consumed. */
  readonly source: Readable;
  /** What the source is called in messages and in the history. */
  readonly sourceName: string;
  /** Name of the new image; without it the image has an ID only. */
  readonly reference?: Reference | undefined;
  readonly message?: string | undefined;
  /** Dockerfile instructions, applied in order. */
  readonly changes: readonly string[];
  /** Seconds since 1970: no date of the config is newer. */
  readonly sourceDateEpoch?: number | undefined;
  readonly bootId: string;
  readonly signal: AbortSignal;
}

/** Result of an import. */
export interface ImportResult {
  readonly id: Digest;
  readonly name: string | undefined;
  /** Digest of the manifest. */
  readonly digest: Digest;
  /** Bytes of the layer's blob. */
  readonly bytes: number;
  readonly entries: number;
}

type ImportDeps = Pick<OperationDeps, 'content' | 'metadata' | 'snapshots' | 'createApplier' | 'progress'>;

/**
 * Makes an image of one layer of a tar, for the platform of this machine. The blob of the layer is the tar as it came.
 * Throws LayerFormatError, UnsupportedMediaTypeError, PathEscapeError (a bad tar), UsageError, DiskSpaceError, AbortError;
 * nothing is left then.
 */
export async function importImage(deps: ImportDeps, request: ImportRequest): Promise<ImportResult> {
  const { reference, signal } = request;
  if (reference?.digest !== undefined || (reference !== undefined && reference.tag === undefined)) {
    throw new UsageError('a digest cannot be given as a name', { hint: 'write HOST/REPOSITORY:TAG' });
  }
  const execution = request.changes.reduce<ExecutionConfig>(applyConfigChange, {});
  const store = await lockStore(deps, request);
  let blob: { readonly digest: Digest; readonly size: number } | undefined;
  let failed = true;
  try {
    await sweepStore(deps);
    blob = await deps.content.ingestStream(request.source, { signal });
    const applied = await makeLayer(deps, request, blob);
    const result = await makeImage(deps, { request, execution, blob, applied });
    failed = false;
    return result;
  } finally {
    store.release();
    if (failed && blob !== undefined) await dropUnusedBlobs(deps, [blob.digest]);
  }
}

async function makeLayer(
  deps: ImportDeps,
  { sourceName, bootId, signal }: ImportRequest,
  blob: { readonly digest: Digest; readonly size: number },
): Promise<AppliedLayer> {
  if (blob.size === 0)
    throw new LayerFormatError(`${sourceName} is empty`, { hint: 'give a tar of a root file system' });
  const key = randomBytes(16).toString('hex');
  const alive = await deps.metadata.lock(`work-${key}`, { mode: 'exclusive', signal });
  try {
    const applied = await unpack(deps, { key, sourceName, signal }, blob);
    for (const note of applied.notes) deps.progress.note(note);
    deps.progress.event({
      v: 1,
      kind: 'layer',
      action: 'unpack',
      digest: blob.digest,
      state: 'done',
      transferred: applied.size,
      total: applied.size,
    });
    const chainId = nextChainId(undefined, applied.diffId);
    const lock = await deps.metadata.lock(`layer-${digestHex(chainId)}`, { mode: 'exclusive', signal });
    try {
      await deps.snapshots.commit(chainId, key);
      // The tar may exist nowhere else, so its files are on disk before anything says that they are there.
      await deps.snapshots.sync();
      await recordLayer(deps, { chainId, applied, blob, bootId });
    } finally {
      lock.release();
    }
    return applied;
  } finally {
    await deps.snapshots.removeWork(key);
    alive.release();
  }
}

async function unpack(
  deps: ImportDeps,
  { key, sourceName, signal }: { readonly key: string; readonly sourceName: string; readonly signal: AbortSignal },
  blob: { readonly digest: Digest; readonly size: number },
): Promise<AppliedLayer> {
  const applier = deps.createApplier();
  const file = await open(deps.content.path(blob.digest), 'r');
  try {
    const root = await deps.snapshots.prepare(key, undefined);
    return await applier.apply({
      fd: file.fd,
      growing: GrowingFile.complete(blob.size),
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
  } catch (error) {
    if (!(error instanceof UnsupportedMediaTypeError)) throw error;
    throw new UnsupportedMediaTypeError(`${sourceName} is no tar, or compressed in a way that layers do not use`, {
      mediaType: error.mediaType,
      hint: 'give a tar, plain or compressed with gzip or zstd',
      cause: error,
    });
  } finally {
    await file.close();
    await applier.close();
  }
}

async function recordLayer(
  { metadata }: Pick<OperationDeps, 'metadata'>,
  layer: {
    readonly chainId: ChainId;
    readonly applied: AppliedLayer;
    readonly blob: { readonly digest: Digest; readonly size: number };
    readonly bootId: string;
  },
): Promise<void> {
  const { chainId, applied, blob, bootId } = layer;
  if ((await metadata.layers.get(digestHex(chainId)))?.sealed === true) return;
  await metadata.layers.put(digestHex(chainId), {
    version: 1,
    chainId,
    diffId: applied.diffId,
    blob: describe(blob, applied),
    size: applied.size,
    entries: applied.entries,
    sealed: true,
    bootId,
  });
}

function describe(
  { digest, size }: { readonly digest: Digest; readonly size: number },
  { compression }: AppliedLayer,
): Descriptor {
  return { mediaType: LAYER_TYPE[compression], digest, size };
}

async function makeImage(
  deps: ImportDeps,
  {
    request,
    execution,
    blob,
    applied,
  }: {
    readonly request: ImportRequest;
    readonly execution: ExecutionConfig;
    readonly blob: { readonly digest: Digest; readonly size: number };
    readonly applied: AppliedLayer;
  },
): Promise<ImportResult> {
  const created = createdAt(request.sourceDateEpoch);
  const platform = hostPlatform();
  const { diffId, entries } = applied;
  const config = await putDocument(
    deps,
    {
      created,
      ...platform,
      config: execution,
      rootfs: { type: 'layers', diff_ids: [diffId] },
      history: [
        {
          created,
          created_by: ['imgtool import', ...request.changes].join('; '),
          comment: request.message ?? `Imported from ${request.sourceName}`,
        },
      ],
    },
    MEDIA_TYPE.ociConfig,
  );
  const layers = [describe(blob, applied)];
  const manifest = await putDocument(
    deps,
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers },
    MEDIA_TYPE.ociManifest,
  );
  const name = request.reference === undefined ? undefined : formatReference(request.reference);
  const image = {
    id: config.digest,
    manifest,
    config,
    layers,
    diffIds: [diffId],
    chainIds: [nextChainId(undefined, diffId)],
    created,
    platform: formatPlatform(platform),
  };
  const { id } = await recordImage(deps, image, { name, signal: request.signal });
  return { id, name, digest: manifest.digest, bytes: blob.size, entries };
}
