import { UsageError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import {
  chainIds,
  formatReference,
  MEDIA_TYPE,
  type Descriptor,
  type DiffId,
  type ExecutionConfig,
  type HistoryEntry,
  type ImageConfig,
  type Reference,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { putDocument, recordImage } from '../store/index.js';

/** A new image and the one it comes from. */
export interface DerivedImage {
  /** Gives the format of the manifest and the platform. */
  readonly base: Pick<ImageRecord, 'manifest' | 'platform'>;
  /** The config document that is changed. */
  readonly config: ImageConfig;
  readonly execution: ExecutionConfig;
  /** Oldest first, in the format of the base. */
  readonly layers: readonly Descriptor[];
  /** Parallel to `layers`. */
  readonly diffIds: readonly DiffId[];
  readonly history: readonly HistoryEntry[];
  readonly author?: string | undefined;
  /** RFC 3339. */
  readonly created: string;
  readonly reference?: Reference | undefined;
  readonly signal: AbortSignal;
}

/**
 * Writes config, manifest and, last, the record of an image whose layers are in the store. No registry has them, so
 * everything is synced to disk before the record is written. Resolves with the record.
 */
export async function deriveImage(
  deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots'>,
  image: DerivedImage,
): Promise<ImageRecord> {
  const { base, created, author, layers, diffIds, reference, signal } = image;
  const document = {
    ...withoutBuildState(image.config),
    created,
    ...(author === undefined ? {} : { author }),
    config: image.execution,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: image.history,
  };
  const { mediaType } = base.manifest;
  const isDocker = mediaType === MEDIA_TYPE.dockerManifest;
  const config = await putDocument(deps, document, isDocker ? MEDIA_TYPE.dockerConfig : MEDIA_TYPE.ociConfig);
  const manifest = await putDocument(deps, { schemaVersion: 2, mediaType, config, layers }, mediaType);
  const name = reference === undefined ? undefined : formatReference(reference);
  const { platform } = base;
  await deps.snapshots.sync();
  return recordImage(
    deps,
    { id: config.digest, manifest, config, layers, diffIds, chainIds: chainIds(diffIds), created, platform },
    { name, signal },
  );
}

/** Throws UsageError for a reference that cannot name an image of the store. */
export function checkNewName(reference: Reference | undefined): void {
  if (reference === undefined || (reference.digest === undefined && reference.tag !== undefined)) return;
  throw new UsageError('a digest cannot be given as a name', { hint: 'write HOST/REPOSITORY:TAG' });
}

/** Removes what Docker records about the build of an image: it does not apply to the new one. */
function withoutBuildState(config: ImageConfig): ImageConfig {
  const copy: Record<string, unknown> = { ...config };
  for (const name of ['container', 'container_config', 'id', 'parent', 'throwaway']) delete copy[name];
  return copy as unknown as ImageConfig;
}
