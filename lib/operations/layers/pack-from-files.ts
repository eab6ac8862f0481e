import type { Writable } from 'node:stream';
import type { PackedLayer } from '../../layer/index.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { LayerCompression } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { blobNotFoundError } from '../download/index.js';
import { hasLayer } from '../store/index.js';

/** The dependencies of packing a layer from its files. */
export type PackFromFilesDeps = Pick<
  OperationDeps,
  'metadata' | 'snapshots' | 'compareTrees' | 'packLayer' | 'progress'
>;

/** How to pack, and the destination. */
export interface PackFromFilesOptions {
  readonly compression: LayerCompression;
  readonly level?: number | undefined;
  readonly output: Writable;
  readonly signal: AbortSignal;
  readonly onProgress?: (transferred: number) => void;
}

/**
 * Packs a layer of an image as a blob from its files and those of the layer below. Layers packed by imgtool get the
 * same bytes again. Destroys `output` on failure. Requires the store's lock. Throws NotFoundError when the files do not
 * exist.
 */
export async function packFromFiles(
  deps: PackFromFilesDeps,
  layer: { readonly record: ImageRecord; readonly position: number },
  options: PackFromFilesOptions,
): Promise<PackedLayer> {
  try {
    return await pack(deps, layer, options);
  } catch (error) {
    // Destroys the output, because its reader would wait forever.
    options.output.destroy(error as Error);
    throw error;
  }
}

async function pack(
  deps: PackFromFilesDeps,
  { record, position }: { readonly record: ImageRecord; readonly position: number },
  { compression, level, output, signal, onProgress }: PackFromFilesOptions,
): Promise<PackedLayer> {
  const [below, layer] = [record.chainIds[position - 1], record.chainIds[position]!];
  for (const needed of below === undefined ? [layer] : [below, layer]) {
    if (await hasLayer(deps, needed)) continue;
    throw blobNotFoundError({ digest: record.layers[position]!.digest });
  }
  const lower = below === undefined ? undefined : deps.snapshots.layerPath(below);
  const upper = deps.snapshots.layerPath(layer);
  const onNote = (line: string): void => deps.progress.note(line);
  const changes = await deps.compareTrees({ lower, upper, signal, onNote });
  return deps.packLayer({
    lower,
    upper,
    changes: lower === undefined ? [{ kind: 'C', path: Buffer.from('/') }, ...changes] : changes,
    compression,
    ...(level === undefined ? {} : { level }),
    output,
    signal,
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}
