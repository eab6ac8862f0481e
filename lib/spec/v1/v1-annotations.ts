import { isDigest, type Digest } from '../digest.js';
import type { Descriptor } from '../descriptor.js';
import { parseV1Image, type V1Image } from './v1-image.js';

/**
 * Annotations of a layer from a v1 registry. They are part of the manifest, so they accompany the image, which can be
 * pushed to a v1 registry again in its original form.
 */
const V1_ANNOTATION = {
  /** The JSON of the v1 image, byte for byte. */
  json: 'dev.imgtool.v1.json',
  /** Its payload checksum, over JSON and layer as transferred. */
  payload: 'dev.imgtool.v1.payload-checksum',
} as const;

/** The annotations for the layer of `image`. */
export function annotateV1(image: Pick<V1Image, 'bytes'>, payload: Digest): Record<string, string> {
  return { [V1_ANNOTATION.json]: image.bytes.toString('utf8'), [V1_ANNOTATION.payload]: payload };
}

/**
 * The original v1 image of a layer, if its annotations are valid. The author of the manifest is not trusted: the
 * payload checksum is only a claim, to be verified against the blob before use.
 */
export function v1ImageOf({
  annotations,
}: Pick<Descriptor, 'annotations'>): { readonly image: V1Image; readonly payload: Digest | undefined } | undefined {
  const json: unknown = annotations?.[V1_ANNOTATION.json];
  if (typeof json !== 'string') return undefined;
  const payload = annotations?.[V1_ANNOTATION.payload];
  try {
    return { image: parseV1Image(Buffer.from(json, 'utf8')), payload: isDigest(payload) ? payload : undefined };
  } catch {
    return undefined;
  }
}
