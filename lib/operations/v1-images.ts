import type { ImageRecord } from '../metadata/index.js';
import {
  checkV1Chain,
  configOfV1,
  digestHex,
  digestOf,
  isV1Id,
  lowerV1Image,
  topV1Image,
  v1ImageOf,
  type Descriptor,
  type V1Image,
} from '../spec/index.js';
import type { OperationDeps } from './deps.js';
import { MAX_CONFIG_BYTES } from './look-up-image.js';

/** A v1 image and the blob that is its layer; undefined: the empty layer. */
export interface V1ImageOfLayer {
  readonly image: V1Image;
  readonly layer: Descriptor | undefined;
}

/**
 * An image as v1 images, root first. What came from a v1 registry is what it was there, under its own ID; what was committed on
 * top is new. Layers of modern images get the IDs that Docker gave them (docker distribution/push_v1.go). Throws NotFoundError.
 */
export async function v1ImagesOf(
  deps: Pick<OperationDeps, 'content' | 'metadata'>,
  record: ImageRecord,
): Promise<V1ImageOfLayer[]> {
  const config = await deps.content.read(record.config.digest, { maxBytes: MAX_CONFIG_BYTES });
  const original = originalImages(record);
  const chain: V1ImageOfLayer[] = original.map((image, index) => ({ image, layer: record.layers[index] }));
  const isWhole = chain.length > 0 && chain.length === record.layers.length;
  if (isWhole && digestOf(configOfV1(original, record.diffIds)) === record.config.digest) return chain;
  const others = await deps.metadata.images.list();
  for (let index = chain.length; index < record.layers.length - 1; index++) {
    const parent = chain.at(-1)?.image.id;
    const chainId = record.chainIds[index]!;
    // An image of the store that ends here was the top of what was pushed then.
    const below = others.find(({ chainIds, id }) => chainIds.at(-1) === chainId && id !== record.id);
    const image =
      below === undefined
        ? lowerV1Image(digestHex(chainId), parent)
        : topV1Image(await deps.content.read(below.config.digest, { maxBytes: MAX_CONFIG_BYTES }), parent);
    chain.push({ image, layer: record.layers[index] });
  }
  const top = topV1Image(config, chain.at(-1)?.image.id);
  // Where only the config has changed there is one more image, and no more layer.
  return [...chain, { image: top, layer: record.layers[chain.length] }];
}

/** The v1 images that the layers at the bottom were, as far as they are a chain. */
function originalImages({ layers }: ImageRecord): V1Image[] {
  const images: V1Image[] = [];
  for (const layer of layers) {
    const image = v1ImageOf(layer)?.image;
    if (image === undefined || !isV1Id(image.id)) break;
    images.push(image);
  }
  try {
    checkV1Chain(images);
  } catch {
    return [];
  }
  return images;
}
