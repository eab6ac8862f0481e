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

/** Sizes asked for at the same time. */
const PARALLEL_SIZES = 8;

/** The JSON of an image of schema 1 that says what runs and where. */
export function leafOf({ steps, architecture }: Schema1Manifest): V1Document & {
  readonly architecture: string;
  readonly os: string;
} {
  // Images of 2013 do not say what they are for: there was one kind.
  return { architecture, os: 'linux', ...steps.at(-1)!.json };
}

/** The config of an image of schema 1 whose layers have `diffIds`, as bytes. */
export function configOfSchema1(schema1: Schema1Manifest, diffIds: readonly DiffId[]): Buffer {
  const lower = schema1.steps.slice(0, -1).map(({ json }) => json);
  return buildV1Config([...lower, leafOf(schema1)], diffIds, { skipThrowaway: true });
}

/**
 * The layers of an image of schema 1, oldest first. The manifest tells no sizes: the store or the registry does. Throws what
 * the registry throws.
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
