import { chainIds } from '../chain-id.js';
import { digestHex, digestOf } from '../digest.js';
import { parseImageConfig } from '../config.js';
import { parseJson } from '../parse-json.js';
import { sortedJson } from './sorted-json.js';
import type { V1Image } from './v1-image.js';
import { parseV1Image } from './v1-image.js';

/** Fields of a config that v1 images lack (docker image/v1/imagev1.go, MakeV1ConfigFromConfig). */
const NOT_IN_V1: ReadonlySet<string> = new Set(['rootfs', 'history', 'os.version', 'os.features']);

/**
 * The v1 images of a v2 image, root first, one per layer (docker distribution/push_v1.go). Their IDs derive from the
 * ChainIDs, and the top one has the ID of the image. An image without layers yields one v1 image, which requires an
 * empty tar as its layer. Throws InvalidManifestError.
 */
export function composeV1Images(config: Uint8Array): V1Image[] {
  const { rootfs } = parseImageConfig(config, 'the config');
  const lower = chainIds(rootfs.diff_ids).slice(0, -1).map(digestHex);
  const images = lower.map((id, index) => lowerV1Image(id, lower[index - 1]));
  return [...images, topV1Image(config, images.at(-1)?.id)];
}

/** The v1 image of a layer below the top. */
export function lowerV1Image(id: string, parent: string | undefined): V1Image {
  return parseV1Image(Buffer.from(JSON.stringify({ id, ...(parent === undefined ? {} : { parent }) })), id);
}

/** The v1 image with the config. Its ID is the ID of the image, so the same config gives the same v1 ID. */
export function topV1Image(config: Uint8Array, parent: string | undefined): V1Image {
  const id = digestHex(digestOf(config));
  parseImageConfig(config, 'the config');
  const fields = Object.entries(parseJson(config, 'the config') as object).filter(([name]) => !NOT_IN_V1.has(name));
  const document = { ...Object.fromEntries(fields), id, ...(parent === undefined ? {} : { parent }) };
  return parseV1Image(Buffer.from(sortedJson(document)), id);
}
