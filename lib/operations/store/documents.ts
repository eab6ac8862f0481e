import {
  digestOf,
  MEDIA_TYPE,
  rawManifest,
  type Descriptor,
  type ManifestFormat,
  type RawManifest,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** The config and manifest of a new image. */
export interface ImageDocuments {
  readonly manifest: RawManifest;
  readonly config: Descriptor;
  readonly configBytes: Buffer;
}

/** Creates the config and manifest of an image. `layers`: oldest first, with media types of the format. */
export function imageDocuments(
  config: object,
  {
    layers,
    format,
    annotations = new Map(),
  }: {
    readonly layers: readonly Descriptor[];
    readonly format: ManifestFormat;
    readonly annotations?: ReadonlyMap<string, string>;
  },
): ImageDocuments {
  const configBytes = Buffer.from(JSON.stringify(config));
  const isDocker = format === 'v2s2';
  const described: Descriptor = {
    mediaType: isDocker ? MEDIA_TYPE.dockerConfig : MEDIA_TYPE.ociConfig,
    digest: digestOf(configBytes),
    size: configBytes.length,
  };
  const manifest = rawManifest({
    ...{ schemaVersion: 2, mediaType: isDocker ? MEDIA_TYPE.dockerManifest : MEDIA_TYPE.ociManifest },
    ...{ config: described, layers },
    ...(annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
  });
  return { manifest, config: described, configBytes };
}

/** Stores the config and manifest of an image. */
export async function putDocuments(
  { content }: Pick<OperationDeps, 'content'>,
  { config, configBytes, manifest }: ImageDocuments,
): Promise<void> {
  await content.put(configBytes, config.digest);
  await content.put(manifest.bytes, manifest.descriptor.digest);
}

/**
 * The creation date for a new config: now, or `sourceDateEpoch` (seconds since 1970) if that is earlier. RFC 3339,
 * without fractions when clamped.
 */
export function createdAt(sourceDateEpoch: number | undefined): string {
  const now = Date.now();
  if (sourceDateEpoch === undefined) return new Date(now).toISOString();
  return new Date(Math.min(now, sourceDateEpoch * 1000)).toISOString().replace(/\.000Z$/, 'Z');
}
