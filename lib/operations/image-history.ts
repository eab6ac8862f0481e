import type { Digest, HistoryEntry } from '../spec/index.js';
import type { OperationDeps } from './deps.js';
import { inspectImage } from './inspect-image.js';

/** One step of an image's making; `size` in bytes of uncompressed tar, 0 for steps that changed no file. */
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

/** How a local image was made, newest step first. Layers that the history leaves out are steps without words. */
export async function imageHistory(
  deps: Pick<OperationDeps, 'metadata' | 'content'>,
  input: string,
): Promise<HistoryStep[]> {
  const { image } = await inspectImage(deps, input);
  const layers = [...image.layers];
  const steps = image.history.map((entry) => stepOf(entry, entry.empty_layer === true ? undefined : layers.shift()));
  return [...steps, ...layers.map((layer) => stepOf({}, layer))].reverse();
}

function stepOf(
  entry: HistoryEntry,
  layer: { readonly unpackedSize?: number; readonly diffId: Digest | null; readonly digest: Digest | null } | undefined,
): HistoryStep {
  return {
    created: entry.created ?? null,
    createdBy: entry.created_by ?? '',
    comment: entry.comment ?? '',
    author: entry.author ?? '',
    emptyLayer: layer === undefined,
    size: layer?.unpackedSize ?? 0,
    diffId: layer?.diffId ?? null,
    digest: layer?.digest ?? null,
  };
}
