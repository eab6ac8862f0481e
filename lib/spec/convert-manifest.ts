import { UnsupportedMediaTypeError } from '../errors.js';
import type { Descriptor } from './descriptor.js';
import type { ImageManifest } from './manifest.js';
import { MEDIA_TYPE } from './media-type.js';

/** The format of a manifest and its parts: OCI image-spec, or Docker image manifest version 2 schema 2. */
export type ManifestFormat = 'oci' | 'v2s2';

/** The compression of a layer blob. */
export type LayerCompression = 'gzip' | 'zstd' | 'none';

const SUFFIX: Readonly<Record<ManifestFormat, Readonly<Record<LayerCompression, string>>>> = {
  oci: { gzip: '+gzip', zstd: '+zstd', none: '' },
  v2s2: { gzip: '.gzip', zstd: '.zstd', none: '' },
};

/** The format of a manifest. */
export function formatOf(mediaType: string): ManifestFormat {
  return mediaType === MEDIA_TYPE.dockerManifest ? 'v2s2' : 'oci';
}

/** A layer's compression according to its media type. */
export function compressionOfType(mediaType: string): LayerCompression {
  if (mediaType.endsWith('gzip')) return 'gzip';
  return mediaType.endsWith('zstd') ? 'zstd' : 'none';
}

/** Reports whether the format has a media type for layers with this compression; Docker's has none for zstd. */
export function allowsCompression(format: ManifestFormat, compression: LayerCompression): boolean {
  return format === 'oci' || compression !== 'zstd';
}

/** The media type of a layer in a format. `like`: its current one. Throws UnsupportedMediaTypeError for zstd in v2s2. */
export function layerMediaType(format: ManifestFormat, compression: LayerCompression, like: string): string {
  const isForeign = /nondistributable|foreign/.test(like);
  const suffix = SUFFIX[format][compression];
  if (!allowsCompression(format, compression)) {
    throw new UnsupportedMediaTypeError('Docker manifests (v2s2) cannot hold layers compressed with zstd', {
      mediaType: like,
      hint: 'use --compression gzip, or --format oci',
    });
  }
  return format === 'oci'
    ? `application/vnd.oci.image.layer.${isForeign ? 'nondistributable.' : ''}v1.tar${suffix}`
    : `application/vnd.docker.image.rootfs.${isForeign ? 'foreign.' : ''}diff.tar${suffix}`;
}

/** A layer with the media type that it has in a format. Throws UnsupportedMediaTypeError for zstd in v2s2. */
export function layerInFormat(layer: Descriptor, format: ManifestFormat): Descriptor {
  const isDocker = layer.mediaType.startsWith('application/vnd.docker.');
  if (isDocker === (format === 'v2s2')) return layer;
  return { ...layer, mediaType: layerMediaType(format, compressionOfType(layer.mediaType), layer.mediaType) };
}

/**
 * Converts a manifest to other layers, another config and another format, as a document to serialise. `lost`: parts
 * that the format cannot represent. Of the config, only the media type changes, because both formats use the same
 * document.
 */
export function convertManifest(
  manifest: ImageManifest,
  to: { readonly format: ManifestFormat; readonly config: Descriptor; readonly layers: readonly Descriptor[] },
): { readonly mediaType: string; readonly document: object; readonly lost: readonly string[] } {
  const { format, layers } = to;
  if (format === 'oci') {
    const config = { ...to.config, mediaType: MEDIA_TYPE.ociConfig };
    const { annotations, subject, artifactType } = manifest;
    const kept = {
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(subject === undefined ? {} : { subject }),
      ...(annotations === undefined ? {} : { annotations }),
    };
    const mediaType = MEDIA_TYPE.ociManifest;
    return { mediaType, document: { schemaVersion: 2, mediaType, config, layers, ...kept }, lost: [] };
  }
  const annotated = [manifest, ...layers].some(({ annotations }) => Object.keys(annotations ?? {}).length > 0);
  const mediaType = MEDIA_TYPE.dockerManifest;
  const plain = ({ digest, size, urls }: Descriptor, type: string): Descriptor => ({
    mediaType: type,
    size,
    digest,
    ...(urls === undefined ? {} : { urls }),
  });
  const document = {
    schemaVersion: 2,
    mediaType,
    config: plain(to.config, MEDIA_TYPE.dockerConfig),
    layers: layers.map((layer) => plain(layer, layer.mediaType)),
  };
  const lost = [
    ...(annotated ? ['annotations'] : []),
    ...(manifest.subject === undefined ? [] : ['the subject']),
    ...(manifest.artifactType === undefined ? [] : ['the artifact type']),
  ];
  return { mediaType, document, lost };
}
