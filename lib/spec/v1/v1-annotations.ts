import { isDigest, type Digest } from '../digest.js';
import type { Descriptor } from '../descriptor.js';
import { parseV1Image, type V1Image } from './v1-image.js';

/**
 * Annotations of a layer that came from a v1 registry: they stand in the manifest, so that they go where the image goes and it
 * can be pushed to a v1 registry again as what it was.
 */
const V1_ANNOTATION = {
  /** The JSON of the v1 image, byte for byte. */
  json: 'dev.imgtool.v1.json',
  /** Its payload checksum: over JSON and layer as they were sent. */
  payload: 'dev.imgtool.v1.payload-checksum',
} as const;

/** The annotations for the layer of `image`. */
export function annotateV1(image: Pick<V1Image, 'bytes'>, payload: Digest): Record<string, string> {
  return { [V1_ANNOTATION.json]: image.bytes.toString('utf8'), [V1_ANNOTATION.payload]: payload };
}

/**
 * The v1 image that a layer was, if its annotations say so in earnest. They come from whoever made the manifest: the payload
 * checksum is a claim, to be checked against the blob before anything rests on it.
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
