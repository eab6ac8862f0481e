import type { Digest, HistoryEntry } from '../../spec/index.js';
import type { InspectedImage, InspectedLayer } from './inspect-image.js';

/** One step of an image's making; `size` in bytes (see `historyOf`), 0 for steps that changed no file. */
export interface HistoryStep {
  readonly created: string | null;
  readonly createdBy: string;
  readonly comment: string;
  readonly author: string;
  readonly emptyLayer: boolean;
  readonly size: number;
  /** The layer it made. */
  readonly diffId: Digest | null;
  readonly digest: Digest | null;
  /** ID of the image, on its newest step; null on the others, which are no images. */
  readonly id: Digest | null;
  /** Names of the image, on its newest step. */
  readonly names: readonly string[];
}

/**
 * How an inspected image was made, newest step first. Layers that the history leaves out are steps without words; sizes
 * are compressed bytes where the image is at a registry.
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
