import type { Descriptor, RawManifest } from './descriptor.js';
import { digestOf } from './digest.js';
import { MEDIA_TYPE } from './media-type.js';

/**
 * An OCI manifest for an image without one, from the bytes of its config and its layers, oldest first. The same input
 * gives the same digests.
 */
export function ociImageOf(
  config: Buffer,
  layers: readonly Descriptor[],
): { readonly config: Descriptor; readonly manifest: RawManifest } {
  const described = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length };
  const mediaType = MEDIA_TYPE.ociManifest;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: described, layers }));
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  return { config: described, manifest: { bytes, descriptor } };
}
