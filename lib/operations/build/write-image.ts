import {
  chainIds,
  formatOf,
  formatPlatform,
  MEDIA_TYPE,
  type ExecutionConfig,
  type HistoryEntry,
  type ImageConfig,
  withoutBuildState,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { createdAt, imageDocuments, putDocuments, type NewImage } from '../store/index.js';
import type { PackedLayers } from './layer-packer.js';
import type { StageHistory, StageState } from './stage-state.js';
import type { BuildRequest } from './types.js';

type WriteDeps = Pick<OperationDeps, 'content' | 'snapshots'>;
type WriteRequest = Pick<BuildRequest, 'labels' | 'annotations' | 'format' | 'squash' | 'sourceDateEpoch'>;

/** Media type of the manifest. */
export function manifestTypeOf({ format }: Pick<BuildRequest, 'format'>): string {
  return format === 'docker' ? MEDIA_TYPE.dockerManifest : MEDIA_TYPE.ociManifest;
}

/** Writes and syncs config and manifest of a built stage. Resolves with the image, which is not recorded yet. */
export async function writeImage(
  deps: WriteDeps,
  state: StageState,
  { layers, request }: { readonly layers: PackedLayers; readonly request: WriteRequest },
): Promise<NewImage> {
  const { annotations } = request;
  const document = imageConfigOf(state, layers, request);
  const format = formatOf(manifestTypeOf(request));
  const documents = imageDocuments(document, { layers: layers.blobs, format, annotations });
  await putDocuments(deps, documents);
  const { config, manifest } = documents;
  // Older layers are already on disk.
  if (layers.packed.size > 0) await deps.snapshots.sync();
  return {
    id: config.digest,
    manifest: manifest.descriptor,
    config,
    layers: layers.blobs,
    diffIds: layers.diffIds,
    chainIds: chainIds(layers.diffIds),
    ...(document.created === undefined ? {} : { created: document.created }),
    platform: formatPlatform(state.platform),
  };
}

/** The config document of a built stage. */
export function imageConfigOf(
  state: StageState,
  layers: Pick<PackedLayers, 'diffIds'>,
  request: Pick<WriteRequest, 'labels' | 'squash' | 'sourceDateEpoch'>,
): ImageConfig {
  const { document, platform, author } = state;
  const history = request.squash ? squashed(state.history) : [...state.history];
  const dated = withDates(history, request.sourceDateEpoch);
  const created = dated.at(-1)?.created ?? createdAt(request.sourceDateEpoch);
  return {
    ...withoutBuildState(document ?? {}),
    created,
    ...(author === undefined ? {} : { author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    config: withLabels(state.config, request.labels),
    rootfs: { type: 'layers', diff_ids: layers.diffIds },
    history: dated,
  };
}

/**
 * The history with BuildKit's dates: an entry with a layer has its step's date; one without has that of the entry
 * before, or, at the start of this build, of its first layer.
 */
function withDates(history: readonly StageHistory[], sourceDateEpoch: number | undefined): HistoryEntry[] {
  const limit = sourceDateEpoch === undefined ? undefined : createdAt(sourceDateEpoch);
  const clamp = (date: string): string => (limit !== undefined && Date.parse(date) > Date.parse(limit) ? limit : date);
  const firstNew = history.find(({ entry, isNew }) => isNew && entry.created !== undefined)?.entry.created;
  const lastOld = history.findLast(({ entry, isNew }) => !isNew && entry.created !== undefined)?.entry.created;
  let date = firstNew ?? lastOld ?? createdAt(sourceDateEpoch);
  return history.map(({ entry, isNew }) => {
    if (!isNew) return entry;
    date = entry.created ?? date;
    return { created: clamp(date), ...withoutDate(entry) };
  });
}

function withoutDate({ created: _created, ...entry }: HistoryEntry): HistoryEntry {
  return entry;
}

/** The history of this build with a layer only on the last entry. */
function squashed(history: readonly StageHistory[]): StageHistory[] {
  const last = history.findLastIndex(({ entry, isNew }) => isNew && entry.empty_layer !== true);
  return history.map(({ entry, isNew }, index) =>
    !isNew || index === last ? { entry, isNew } : { entry: { ...entry, empty_layer: true }, isNew },
  );
}

function withLabels(config: ExecutionConfig, labels: ReadonlyMap<string, string>): ExecutionConfig {
  return labels.size === 0 ? config : { ...config, Labels: { ...config.Labels, ...Object.fromEntries(labels) } };
}
