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

/** An image to convert. `layers`, `diffIds` and `chainIds` are parallel. */
export interface ImageParts {
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly DiffId[];
  readonly chainIds: readonly ChainId[];
  /** The bytes of its config. */
  readonly config: Buffer;
}

/**
 * Converts an image to v1 images, root first. Layers from a v1 registry get their original images and IDs; those
 * committed on top get new ones. Layers of v2 images get Docker's IDs (docker distribution/push_v1.go). `configOf`: the
 * config of an image that ended at a layer when it was pushed. Throws the errors of `configOf`.
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
  // When only the config has changed, there is one more image but no further layer.
  return [...chain, { image: top, layer: layers[chain.length] }];
}

/** The original v1 images of the bottom layers, as far as they form a chain. */
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
