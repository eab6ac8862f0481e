import {
  MEDIA_TYPE,
  buildV1Config,
  type BlobReader,
  type Descriptor,
  type DiffId,
  type Schema1Manifest,
  type V1Document,
} from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';

/** The number of concurrent requests for sizes. */
const PARALLEL_SIZES = 8;

/** The JSON of the top image, which contains command and platform. */
export function leafOf({ steps, architecture }: Schema1Manifest): V1Document & {
  readonly architecture: string;
  readonly os: string;
} {
  // Images of 2013 do not state their platform: there was only one.
  return { architecture, os: 'linux', ...steps.at(-1)!.json };
}

/** Creates the config of a schema 1 image whose layers have `diffIds`. */
export function configOfSchema1(schema1: Schema1Manifest, diffIds: readonly DiffId[]): Buffer {
  const lower = schema1.steps.slice(0, -1).map(({ json }) => json);
  return buildV1Config([...lower, leafOf(schema1)], diffIds, { skipThrowaway: true });
}

/**
 * The layers of a schema 1 image, oldest first. Their sizes come from the store or the registry, because the manifest
 * has none. Throws the errors of the registry.
 */
export async function layersOfSchema1(
  { content }: { readonly content?: OperationDeps['content'] | undefined },
  source: Pick<BlobReader, 'blobSize'>,
  { schema1, signal }: { readonly schema1: Schema1Manifest; readonly signal: AbortSignal },
): Promise<Descriptor[]> {
  const digests = schema1.steps.filter(({ empty }) => !empty).map(({ blob }) => blob);
  const distinct = [...new Set(digests)];
  const sizes = await mapLimited(
    distinct,
    PARALLEL_SIZES,
    async (digest) => (await content?.stat(digest))?.size ?? (await source.blobSize!(digest, { signal })),
  );
  return digests.map((digest) => ({
    mediaType: MEDIA_TYPE.dockerLayerGzip,
    digest,
    size: sizes[distinct.indexOf(digest)]!,
  }));
}
