import type { Readable } from 'node:stream';
import type { FinishedPart } from '../../content/index.js';
import { DigestMismatchError } from '../../errors.js';
import type { ProgressState } from '../../progress/index.js';
import type { V1RemoteImage, V1Repository } from '../../registry/index.js';
import {
  beginPayloadChecksum,
  digestFrom,
  isDigest,
  MEDIA_TYPE,
  type Descriptor,
  type Digest,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import type { NewBlobs } from '../store/index.js';

const V1_PART = 'v1 layer';

type LayerDeps = Pick<OperationDeps, 'content' | 'progress'>;

/** A layer of a v1 image, in the store. */
export interface V1Layer {
  readonly blob: Descriptor;
  readonly payload: Digest;
  readonly state: 'fetched' | 'present';
}

/**
 * Fetches the layer of a v1 image into the store, resuming where an earlier pull ended. `known`: blobs that may be it.
 * `blobs` gets the digests of what is new in the store. Throws what the registry throws, DiskSpaceError.
 */
export async function fetchV1Layer(
  deps: LayerDeps,
  repository: V1Repository,
  job: {
    readonly id: string;
    readonly position: number;
    readonly image: Promise<V1RemoteImage>;
    readonly known: readonly Descriptor[];
    readonly blobs: NewBlobs;
    readonly signal: AbortSignal;
  },
): Promise<V1Layer> {
  const { id, position, image, known, blobs, signal } = job;
  const event = (state: ProgressState, more: object = {}): void =>
    deps.progress.event({ v: 1, kind: 'blob', action: 'fetch', digest: id, state, ...more });
  const key = v1PartKey(repository, id);
  const finished = await deps.content.finishedPart(key);
  // The image is awaited only if the layer may be in the store.
  if (known.length > 0 || finished !== undefined) {
    const present = await findV1Layer(deps, await image, { known, finished });
    if (present !== undefined) {
      if (known.length === 0) blobs.add(present.blob.digest);
      event('skipped');
      return present;
    }
  }
  let total = 0;
  const part = await deps.content.beginPart(key, { signal });
  try {
    const { result, payloadChecksum } = await repository.readLayer(id, {
      image,
      signal,
      priority: -position,
      part,
      consume: (body, converted) => (converted ? keep(deps, body, { blobs, signal }) : drain(body)),
      onProgress: (transferred) => event('active', { transferred: (total = transferred) }),
      onRetry: (message) => event('retrying', { message }),
    });
    const { tarSum } = await image;
    const proofs = [payloadChecksum, ...(tarSum === undefined ? [] : [tarSum])];
    const blob = await part.commit({ proofs, ...(result === undefined ? {} : { blob: result }) });
    blobs.add(blob.digest);
    event('done', { transferred: total, total });
    // The media type is corrected once unpacking has shown the compression.
    return { blob: { mediaType: MEDIA_TYPE.ociLayer, ...blob }, payload: payloadChecksum, state: 'fetched' };
  } finally {
    await part.release();
  }
}

/** Stores a layer that has another form than at its registry. */
async function keep(
  { content }: Pick<OperationDeps, 'content'>,
  body: Readable,
  { blobs, signal }: { readonly blobs: NewBlobs; readonly signal: AbortSignal },
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const blob = await content.ingestStream(body, { signal });
  blobs.add(blob.digest);
  return blob;
}

/** The bytes are kept on the way. */
async function drain(body: Readable): Promise<undefined> {
  for await (const _chunk of body);
  return undefined;
}

/** What an interrupted pull has made of the layer: right when the registry still says of it what was checked then. */
async function finishedLayer(
  { content }: Pick<OperationDeps, 'content'>,
  { payloadChecksums, tarSum }: V1RemoteImage,
  finished: FinishedPart | undefined,
): Promise<V1Layer | undefined> {
  if (finished === undefined) return undefined;
  const { digest, size, proofs } = finished;
  const payload = proofs.find((proof) => isDigest(proof));
  const isSame = [...payloadChecksums, ...(tarSum === undefined ? [] : [tarSum])].some((sum) => proofs.includes(sum));
  if (payload === undefined || !isSame || (await content.stat(digest)) === undefined) return undefined;
  try {
    await drain(await content.open(digest));
  } catch (error) {
    if (error instanceof DigestMismatchError) return undefined;
    throw error;
  }
  return { blob: { mediaType: MEDIA_TYPE.ociLayer, digest, size }, payload, state: 'present' };
}

/** The blob of the store that is the layer of `image`, if it can be proven; reads it. */
export async function findV1Layer(
  deps: Pick<OperationDeps, 'content'>,
  image: V1RemoteImage,
  { known, finished }: { readonly known: readonly Descriptor[]; readonly finished: FinishedPart | undefined },
): Promise<V1Layer | undefined> {
  return (await presentLayer(deps, image, known)) ?? (await finishedLayer(deps, image, finished));
}

/** A blob of the store that is proven to be the layer of `image`: by the registry's own checksum over JSON and layer. */
async function presentLayer(
  { content }: Pick<OperationDeps, 'content'>,
  image: V1RemoteImage,
  known: readonly Descriptor[],
): Promise<V1Layer | undefined> {
  for (const { mediaType, digest, size } of known) {
    if (image.payloadChecksums.length === 0 || (await content.stat(digest)) === undefined) continue;
    const hash = beginPayloadChecksum(image.bytes);
    try {
      for await (const chunk of await content.open(digest)) hash.update(chunk as Buffer);
    } catch (error) {
      if (error instanceof DigestMismatchError) continue;
      throw error;
    }
    const payload = digestFrom(hash);
    if (image.payloadChecksums.includes(payload))
      return { blob: { mediaType, digest, size }, payload, state: 'present' };
  }
  return undefined;
}

/** What the layer of a v1 image is found again by, when the pull has ended in the middle of it. */
export function v1PartKey({ host }: Pick<V1Repository, 'host'>, id: string): string {
  return `${V1_PART} ${host} ${id}`;
}

/** What `v1PartKey` made a key of; undefined for other keys. */
export function parseV1PartKey(key: string): { readonly host: string; readonly v1Id: string } | undefined {
  const match = /^ (\S+) (\S+)$/.exec(key.startsWith(V1_PART) ? key.slice(V1_PART.length) : '');
  return match === null ? undefined : { host: match[1]!, v1Id: match[2]! };
}

/** Forgets what pulls of these images left unfinished. Throws StoreError. */
export async function forgetParts(
  { content }: Pick<OperationDeps, 'content'>,
  repository: V1Repository,
  ids: readonly string[],
): Promise<void> {
  for (const id of ids) await content.forgetPart(v1PartKey(repository, id));
}
