import { UsageError } from '../../errors.js';
import {
  MAX_CONFIG_BYTES,
  buildSchema1,
  digestOf,
  EMPTY_LAYER,
  MEDIA_TYPE,
  type Descriptor,
  type RawManifest,
} from '../../spec/index.js';
import type { PreparedImage } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';

/** An image as it goes to a registry in Docker's schema 1. */
export interface Schema1Image {
  /** Each once. There is no config among them. */
  readonly blobs: readonly Descriptor[];
  /** Under each tag it is another one: the tag is part of it. */
  readonly manifests: readonly { readonly tag: string; readonly raw: RawManifest }[];
}

/**
 * Writes an image in schema 1, once for each tag; `config`: its config in the store. EMPTY_LAYER may be among the blobs; it
 * is not stored. Throws UsageError without a tag, InvalidManifestError for a bad config.
 */
export async function asSchema1(
  { content }: Pick<OperationDeps, 'content'>,
  { record }: PreparedImage,
  {
    repository,
    tags,
    config,
  }: { readonly repository: string; readonly tags: readonly string[]; readonly config: Descriptor },
): Promise<Schema1Image> {
  if (tags.length === 0) {
    throw new UsageError('an image of schema 1 needs a tag: it is part of its manifest', {
      hint: 'write imgtool push IMAGE HOST/REPOSITORY:TAG --format v2s1',
    });
  }
  const bytes = await content.read(config.digest, { maxBytes: MAX_CONFIG_BYTES });
  const layers = record.layers.map(({ digest }) => digest);
  const built = tags.map((tag) => ({ tag, built: buildSchema1(bytes, layers, { name: repository, tag }) }));
  const empty = {
    mediaType: MEDIA_TYPE.dockerLayerGzip,
    digest: digestOf(EMPTY_LAYER),
    size: EMPTY_LAYER.length,
  };
  // Schema 1 has no place for URLs: such layers are sent too.
  const own = record.layers.map(({ urls: _urls, ...layer }) => layer);
  const known = new Map<string, Descriptor>([...own, empty].map((blob) => [blob.digest, blob]));
  return {
    blobs: built[0]!.built.blobs.map((digest) => known.get(digest)!),
    manifests: built.map(({ tag, built: { bytes, digest } }) => ({
      tag,
      raw: { bytes, descriptor: { mediaType: MEDIA_TYPE.dockerSchema1Signed, digest, size: bytes.length } },
    })),
  };
}
