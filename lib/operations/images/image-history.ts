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
}

/**
 * How an inspected image was made, newest step first. Layers that the history leaves out are steps without words; sizes
 * are compressed bytes where the image is at a registry.
 */
export function historyOf(image: Pick<InspectedImage, 'layers' | 'history'>): HistoryStep[] {
  const layers = [...image.layers];
  const steps = image.history.map((entry) => stepOf(entry, entry.empty_layer === true ? undefined : layers.shift()));
  return [...steps, ...layers.map((layer) => stepOf({}, layer))].reverse();
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
  };
}
