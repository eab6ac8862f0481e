import type { Descriptor } from '../descriptor.js';
import { digestHex, type ChainId, type DiffId } from '../digest.js';
import { checkV1Chain } from './ancestry.js';
import { lowerV1Image, topV1Image } from './compose-v1.js';
import { configOfV1 } from './build-v1-config.js';
import { v1ImageOf } from './v1-annotations.js';
import { isV1Id, type V1Image } from './v1-image.js';

/** A v1 image and the blob that is its layer; undefined: the empty layer. */
export interface V1ImageOfLayer {
  readonly image: V1Image;
  readonly layer: Descriptor | undefined;
}

/** An image to be taken apart; `layers`, `diffIds` and `chainIds` are parallel. */
export interface ImageParts {
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly DiffId[];
  readonly chainIds: readonly ChainId[];
  /** Its config's bytes. */
  readonly config: Buffer;
}

/**
 * An image as v1 images, root first. What came from a v1 registry is what it was there, under its own ID; what was committed on
 * top is new. Layers of v2 images get the IDs that Docker gave them (docker distribution/push_v1.go). `configOf`: the
 * config of an image that ends at a layer: it was the top of what was pushed then. Throws what `configOf` throws.
 */
export async function v1ImagesFrom(
  image: ImageParts,
  configOf: (chainId: ChainId) => Promise<Buffer | undefined> = () => Promise.resolve(undefined),
): Promise<V1ImageOfLayer[]> {
  const { config, layers, diffIds, chainIds } = image;
  const original = originalImages(image);
  const chain: V1ImageOfLayer[] = original.map((v1, index) => ({ image: v1, layer: layers[index] }));
  const isWhole = chain.length > 0 && chain.length === layers.length;
  if (isWhole && configOfV1(original, diffIds).equals(config)) return chain;
  for (let index = chain.length; index < layers.length - 1; index++) {
    const parent = chain.at(-1)?.image.id;
    const chainId = chainIds[index]!;
    const below = await configOf(chainId);
    const v1 = below === undefined ? lowerV1Image(digestHex(chainId), parent) : topV1Image(below, parent);
    chain.push({ image: v1, layer: layers[index] });
  }
  const top = topV1Image(config, chain.at(-1)?.image.id);
  // Where only the config has changed there is one more image, and no more layer.
  return [...chain, { image: top, layer: layers[chain.length] }];
}

/** The v1 images that the layers at the bottom were, as far as they are a chain. */
function originalImages({ layers }: ImageParts): V1Image[] {
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
