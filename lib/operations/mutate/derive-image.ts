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
  compressionOfType,
  formatOf,
  layerMediaType,
  type ManifestFormat,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { putDocument, recordImage } from '../store/index.js';

/** A new image and the one it comes from. */
export interface DerivedImage {
  /** Gives the platform, and the format of the manifest where no other is given. */
  readonly base: Pick<ImageRecord, 'manifest' | 'platform'>;
  /** The config document that is changed. */
  readonly config: ImageConfig;
  readonly execution: ExecutionConfig;
  /** Oldest first. */
  readonly layers: readonly Descriptor[];
  /** Parallel to `layers`. */
  readonly diffIds: readonly DiffId[];
  readonly history: readonly HistoryEntry[];
  readonly author?: string | undefined;
  /** RFC 3339. */
  readonly created: string;
  readonly reference?: Reference | undefined;
  /** Of the manifest, the config and the layers. Default: that of the base image. */
  readonly format?: ManifestFormat | undefined;
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
  const { base, created, diffIds, reference, signal } = image;
  const document = derivedConfig(image);
  const format = image.format ?? formatOf(base.manifest.mediaType);
  const isDocker = format === 'v2s2';
  const mediaType = isDocker ? MEDIA_TYPE.dockerManifest : MEDIA_TYPE.ociManifest;
  const layers = image.layers.map((layer) => inFormat(layer, format));
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

/** The config document of an image that comes from another. */
export function derivedConfig({
  config,
  execution,
  created,
  author,
  diffIds,
  history,
}: Pick<DerivedImage, 'config' | 'execution' | 'created' | 'author' | 'diffIds' | 'history'>): ImageConfig {
  return {
    ...withoutBuildState(config),
    created,
    ...(author === undefined ? {} : { author }),
    config: execution,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history,
  };
}

/** A layer with the media type that it has in a format. */
export function inFormat(layer: Descriptor, format: ManifestFormat): Descriptor {
  const isDocker = layer.mediaType.startsWith('application/vnd.docker.');
  if (isDocker === (format === 'v2s2')) return layer;
  return { ...layer, mediaType: layerMediaType(format, compressionOfType(layer.mediaType), layer.mediaType) };
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
