import { PassThrough } from 'node:stream';
import { UsageError } from '../errors.js';
import type { ContainerRecord, ImageRecord } from '../metadata/index.js';
import {
  applyConfigChange,
  digestHex,
  formatReference,
  MEDIA_TYPE,
  nextChainId,
  type Descriptor,
  type DiffId,
  type Digest,
  type ExecutionConfig,
  type HistoryEntry,
  type ImageConfig,
  type Reference,
} from '../spec/index.js';
import { bothOrFirstError } from '../util/index.js';
import { imageOfContainer, readImageConfig } from './image-of-container.js';
import type { OperationDeps } from './deps.js';
import { createdAt, putDocument } from './documents.js';
import { findContainer } from './find-container.js';
import { withFrozen, type FrozenContainer } from './freeze-container.js';
import { lockStore } from './lock-store.js';
import { recordImage } from './record-image.js';
import { restoreLayers, type RestoreDeps } from './restore-layers.js';
import { sweepStore } from './sweep-store.js';

/** What to commit and how. */
export interface CommitRequest {
  /** Name, ID or unique prefix of one. */
  readonly container: string;
  /** Name of the new image; without it the image has an ID only. */
  readonly reference?: Reference | undefined;
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  /** Dockerfile instructions, applied in order. */
  readonly changes: readonly string[];
  /** One layer with everything instead of one more on those of the image. */
  readonly squash: boolean;
  /** Makes an image even when nothing changed. */
  readonly emptyOk: boolean;
  /** Seconds since 1970 (reproducible-builds.org): no changed file and no date of the config is newer. */
  readonly sourceDateEpoch?: number | undefined;
  readonly bootId: string;
  readonly signal: AbortSignal;
}

/** Result of a commit; sizes in bytes. */
export interface CommitResult {
  readonly id: Digest;
  readonly name: string | undefined;
  /** Digest of the manifest. */
  readonly digest: Digest;
  /** Oldest first; the new layer is `packed`. */
  readonly layers: readonly { readonly digest: Digest; readonly size: number; readonly state: 'packed' | 'present' }[];
  /** Bytes of the new layer's blob. */
  readonly bytes: number;
  readonly seconds: number;
}

type CommitDeps = Pick<OperationDeps, 'compareTrees' | 'packLayer'> &
  RestoreDeps &
  Partial<Pick<OperationDeps, 'runtime'>>;

/** A layer on top of `below`, or none when nothing changed. */
interface NewLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
}

/**
 * Makes an image of a container: freeze, find what changed, pack only that, and turn the frozen snapshot itself into the
 * layer, so nothing is unpacked again. The container stays as it is. The image record is written last, after everything is
 * on disk. Throws NotFoundError, UsageError (nothing changed), LayerFormatError, SyscallError, DiskSpaceError, AbortError;
 * nothing is published then.
 */
export async function commitContainer(deps: CommitDeps, request: CommitRequest): Promise<CommitResult> {
  const started = performance.now();
  const { signal, reference } = request;
  if (reference?.digest !== undefined || (reference !== undefined && reference.tag === undefined)) {
    throw new UsageError('a digest cannot be given as a name', { hint: 'write HOST/REPOSITORY:TAG' });
  }
  const container = await findContainer(deps, request.container);
  const store = await lockStore(deps, request);
  try {
    await sweepStore(deps);
    const base = await imageOfContainer(deps, container);
    if (!request.squash) await restoreLayers(deps, base, request);
    const config = await readImageConfig(deps, base);
    const execution = request.changes.reduce<ExecutionConfig>(applyConfigChange, config.config ?? {});
    const { record, layer } = await withFrozen(deps, { id: container.id, signal }, async (frozen) => {
      const made = await makeLayer(deps, { request, container, base, frozen });
      return { record: await makeImage(deps, { request, base, config, execution, layer: made }), layer: made };
    });
    return {
      id: record.id,
      name: reference === undefined ? undefined : formatReference(reference),
      digest: record.manifest.digest,
      layers: record.layers.map(({ digest, size }) => ({
        digest,
        size,
        state: digest === layer?.blob.digest ? ('packed' as const) : ('present' as const),
      })),
      bytes: layer?.blob.size ?? 0,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    store.release();
  }
}

async function makeLayer(
  deps: CommitDeps,
  {
    request,
    container,
    base,
    frozen,
  }: { request: CommitRequest; container: ContainerRecord; base: ImageRecord; frozen: FrozenContainer },
): Promise<NewLayer | undefined> {
  const { signal, squash } = request;
  const below = squash ? undefined : container.base;
  const lower = below === undefined ? undefined : deps.snapshots.layerPath(below);
  const changes = await deps.compareTrees({
    lower,
    upper: frozen.path,
    signal,
    onNote: (line) => deps.progress.note(line),
  });
  if (changes.length === 0) {
    if (request.emptyOk || request.changes.length > 0) return undefined;
    throw new UsageError(`nothing has changed in ${container.name} since ${container.imageName}`, {
      hint: 'use --empty-ok to make an image all the same',
    });
  }
  const output = new PassThrough();
  const packing = deps.packLayer({
    lower,
    upper: frozen.path,
    // Without a layer below, nothing else carries the metadata of the root.
    changes: lower === undefined ? [{ kind: 'C', path: Buffer.from('/') }, ...changes] : changes,
    compression: 'gzip',
    ...(request.sourceDateEpoch === undefined ? {} : { sourceDateEpoch: request.sourceDateEpoch }),
    output,
    signal,
    onProgress: (transferred) =>
      deps.progress.event({ v: 1, kind: 'layer', action: 'pack', digest: container.id, state: 'active', transferred }),
  });
  const [packed] = await bothOrFirstError(packing, deps.content.ingestStream(output, { signal }));
  for (const note of packed.notes) deps.progress.note(note);
  const isDocker = base.manifest.mediaType === MEDIA_TYPE.dockerManifest;
  const blob: Descriptor = {
    mediaType: isDocker ? MEDIA_TYPE.dockerLayerGzip : MEDIA_TYPE.ociLayerGzip,
    digest: packed.digest,
    size: packed.size,
  };
  const chainId = nextChainId(below, packed.diffId);
  const lock = await deps.metadata.lock(`layer-${digestHex(chainId)}`, { mode: 'exclusive', signal });
  try {
    await deps.snapshots.commit(chainId, frozen.key);
    // This layer exists nowhere else, so it is on disk before anything says that it is there.
    await deps.snapshots.sync();
    await deps.metadata.layers.put(digestHex(chainId), {
      version: 1,
      chainId,
      ...(below === undefined ? {} : { parent: below }),
      diffId: packed.diffId,
      blob,
      size: packed.tarSize,
      entries: packed.entries,
      sealed: true,
      bootId: request.bootId,
    });
  } finally {
    lock.release();
  }
  deps.progress.event({
    v: 1,
    kind: 'layer',
    action: 'pack',
    digest: packed.digest,
    state: 'done',
    transferred: packed.tarSize,
    total: packed.tarSize,
  });
  return { blob, diffId: packed.diffId };
}

async function makeImage(
  deps: CommitDeps,
  {
    request,
    base,
    config,
    execution,
    layer,
  }: {
    request: CommitRequest;
    base: ImageRecord;
    config: ImageConfig;
    execution: ExecutionConfig;
    layer: NewLayer | undefined;
  },
): Promise<ImageRecord> {
  const kept = request.squash && layer !== undefined ? { layers: [], diffIds: [] } : base;
  const layers = layer === undefined ? kept.layers : [...kept.layers, layer.blob];
  const diffIds = layer === undefined ? kept.diffIds : [...kept.diffIds, layer.diffId];
  const created = createdAt(request.sourceDateEpoch);
  const step: HistoryEntry = {
    created,
    created_by: ['imgtool commit', ...request.changes].join('; '),
    ...(request.author === undefined ? {} : { author: request.author }),
    ...(request.message === undefined ? {} : { comment: request.message }),
    ...(layer === undefined ? { empty_layer: true } : {}),
  };
  const document = {
    ...withoutBuildState(config),
    created,
    ...(request.author === undefined ? {} : { author: request.author }),
    config: execution,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: request.squash && layer !== undefined ? [step] : [...(config.history ?? []), step],
  };
  const isDocker = base.manifest.mediaType === MEDIA_TYPE.dockerManifest;
  const configBlob = await putDocument(deps, document, isDocker ? MEDIA_TYPE.dockerConfig : MEDIA_TYPE.ociConfig);
  const manifest = await putDocument(
    deps,
    { schemaVersion: 2, mediaType: base.manifest.mediaType, config: configBlob, layers },
    base.manifest.mediaType,
  );
  const chain: ReturnType<typeof nextChainId>[] = [];
  for (const diffId of diffIds) chain.push(nextChainId(chain.at(-1), diffId));
  return recordImage(
    deps,
    {
      id: configBlob.digest,
      manifest,
      config: configBlob,
      layers,
      diffIds,
      chainIds: chain,
      created,
      platform: base.platform,
    },
    { name: request.reference === undefined ? undefined : formatReference(request.reference), signal: request.signal },
  );
}

/** What Docker keeps of the build that made an image does not hold for the new one. */
function withoutBuildState(config: ImageConfig): ImageConfig {
  const copy: Record<string, unknown> = { ...config };
  for (const name of ['container', 'container_config', 'id', 'parent', 'throwaway']) delete copy[name];
  return copy as unknown as ImageConfig;
}
