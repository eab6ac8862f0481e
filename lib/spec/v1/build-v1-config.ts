import type { HistoryEntry } from '../config.js';
import type { DiffId } from '../digest.js';
import { sortedJson } from './sorted-json.js';
import type { V1Document, V1Image } from './v1-image.js';

/** Fields of a v1 JSON that configs lack (docker image/v1/imagev1.go, MakeConfigFromV1Config). */
const NOT_IN_CONFIG: ReadonlySet<string> = new Set(['id', 'parent', 'Size', 'parent_id', 'layer_id', 'throwaway']);

/**
 * The config, as bytes, for a chain of v1 images (root first) whose layers have `diffIds`: the leaf's JSON with rootfs
 * and history. With `skipThrowaway` (schema 1), images with `throwaway` have no layer; otherwise each image has one.
 */
export function buildV1Config(
  images: readonly V1Document[],
  diffIds: readonly DiffId[],
  options: { readonly skipThrowaway?: boolean } = {},
): Buffer {
  const leaf = Object.entries(images.at(-1) ?? {}).filter(([name]) => !NOT_IN_CONFIG.has(name));
  const history = images.map((image) => historyOf(image, options.skipThrowaway === true && image.throwaway === true));
  const document = { ...Object.fromEntries(leaf), rootfs: { type: 'layers', diff_ids: diffIds }, history };
  return Buffer.from(sortedJson(document));
}

/** The config, as bytes, for a chain of v1 images (root first), each with a layer. */
export function configOfV1(images: readonly Pick<V1Image, 'document'>[], diffIds: readonly DiffId[]): Buffer {
  // Images of 2013 state no platform: there was only one.
  const documents = images.map(({ document }) => ({ os: 'linux', architecture: 'amd64', ...document }));
  return buildV1Config(documents, diffIds);
}

function historyOf({ created, author, comment, container_config }: V1Document, isEmpty: boolean): HistoryEntry {
  const command = container_config?.Cmd;
  const text = (name: string, value: unknown): object =>
    typeof value === 'string' && value !== '' ? { [name]: value } : {};
  return {
    ...text('created', created),
    ...text('author', author),
    ...text('created_by', Array.isArray(command) ? command.join(' ') : undefined),
    ...text('comment', comment),
    ...(isEmpty ? { empty_layer: true } : {}),
  };
}
