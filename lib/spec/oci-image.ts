import type { Descriptor, RawManifest } from './descriptor.js';
import { digestOf } from './digest.js';
import { rawManifest } from './manifest.js';
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
  const manifest = rawManifest({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: described, layers });
  return { config: described, manifest };
}
