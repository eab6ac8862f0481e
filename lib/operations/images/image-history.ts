import type { Digest, HistoryEntry } from '../../spec/index.js';
import type { InspectedImage, InspectedLayer } from './inspect-image.js';

/** One history entry of an image; `size` in bytes (see `historyOf`), 0 for steps without a layer. */
export interface HistoryStep {
  readonly created: string | null;
  readonly createdBy: string;
  readonly comment: string;
  readonly author: string;
  readonly emptyLayer: boolean;
  readonly size: number;
  /** The layer it created. */
  readonly diffId: Digest | null;
  readonly digest: Digest | null;
  /** ID of the image, on its newest step; null on the others. */
  readonly id: Digest | null;
  /** Names of the image, on its newest step. */
  readonly names: readonly string[];
}

/**
 * The history of an inspected image, newest step first. Layers missing from the history appear as empty steps. Sizes
 * are compressed bytes if the image is at a registry.
 */
export function historyOf(image: Pick<InspectedImage, 'id' | 'names' | 'layers' | 'history'>): HistoryStep[] {
  const layers = [...image.layers];
  const steps = image.history.map((entry) => stepOf(entry, entry.empty_layer === true ? undefined : layers.shift()));
  const all = [...steps, ...layers.map((layer) => stepOf({}, layer))].reverse();
  return all.map((step, index) => (index === 0 ? { ...step, id: image.id, names: image.names } : step));
}

function stepOf(entry: HistoryEntry, layer: InspectedLayer | undefined): HistoryStep {
  return {
    created: entry.created ?? null,
    createdBy: entry.created_by ?? '',
    comment: entry.comment ?? '',
    author: entry.author ?? '',
    emptyLayer: layer === undefined,
    size: layer?.unpackedSize ?? layer?.size ?? 0,
    diffId: layer?.diffId ?? null,
    digest: layer?.digest ?? null,
    id: null,
    names: [],
  };
}
