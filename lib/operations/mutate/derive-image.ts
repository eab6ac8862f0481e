import { UsageError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import {
  chainIds,
  formatReference,
  type Descriptor,
  type DiffId,
  type ExecutionConfig,
  type HistoryEntry,
  type ImageConfig,
  type Reference,
  formatOf,
  layerInFormat,
  type ManifestFormat,
  withoutBuildState,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { imageDocuments, putDocuments, recordImage } from '../store/index.js';

/** A new image and its source. */
interface DerivedImage {
  /** Supplies the platform and the default manifest format. */
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
  /** Format of the manifest, config and layers. Default: the base image's format. */
  readonly format?: ManifestFormat | undefined;
  readonly signal: AbortSignal;
}

/**
 * Writes config, manifest and, last, the record of an image whose layers are in the store. Syncs everything to disk
 * before the record, because no registry has the layers. Resolves with the record.
 */
export async function deriveImage(
  deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots'>,
  image: DerivedImage,
): Promise<ImageRecord> {
  const { base, created, diffIds, reference, signal } = image;
  const format = image.format ?? formatOf(base.manifest.mediaType);
  const layers = image.layers.map((layer) => layerInFormat(layer, format));
  const documents = imageDocuments(derivedConfig(image), { layers, format });
  await putDocuments(deps, documents);
  const { config, manifest } = documents;
  const name = reference === undefined ? undefined : formatReference(reference);
  const { platform } = base;
  await deps.snapshots.sync();
  return recordImage(
    deps,
    {
      id: config.digest,
      manifest: manifest.descriptor,
      config,
      layers,
      diffIds,
      chainIds: chainIds(diffIds),
      created,
      platform,
    },
    { name, signal },
  );
}

/** The config of an image derived from another. */
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

/** Throws UsageError for a reference that cannot name an image in the store. */
export function checkNewName(reference: Reference | undefined): void {
  if (reference === undefined || (reference.digest === undefined && reference.tag !== undefined)) return;
  throw new UsageError('a digest cannot be given as a name', { hint: 'write HOST/REPOSITORY:TAG' });
}
