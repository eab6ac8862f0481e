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

/** A stored layer of a v1 image. */
export interface V1Layer {
  readonly blob: Descriptor;
  readonly payload: Digest;
  readonly state: 'fetched' | 'present';
}

/**
 * Downloads the layer of a v1 image into the store and resumes an earlier download. `known`: blobs that may be the
 * layer. Adds the digests of new blobs to `blobs`. Throws the errors of the registry, DiskSpaceError.
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
  // Awaits the image only if the store may have its layer.
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
    // Unpacking determines the compression and corrects the media type.
    return { blob: { mediaType: MEDIA_TYPE.ociLayer, ...blob }, payload: payloadChecksum, state: 'fetched' };
  } finally {
    await part.release();
  }
}

/** Stores a layer whose compression was converted. */
async function keep(
  { content }: Pick<OperationDeps, 'content'>,
  body: Readable,
  { blobs, signal }: { readonly blobs: NewBlobs; readonly signal: AbortSignal },
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const blob = await content.ingestStream(body, { signal });
  blobs.add(blob.digest);
  return blob;
}

/** The part file stores the bytes on the way. */
async function drain(body: Readable): Promise<undefined> {
  for await (const _chunk of body);
  return undefined;
}

/**
 * The layer that an interrupted pull has downloaded completely, if the registry still states the checksum that was
 * verified then.
 */
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

/** Finds the stored blob that is provably the layer of `image`. Reads the candidates. */
export async function findV1Layer(
  deps: Pick<OperationDeps, 'content'>,
  image: V1RemoteImage,
  { known, finished }: { readonly known: readonly Descriptor[]; readonly finished: FinishedPart | undefined },
): Promise<V1Layer | undefined> {
  return (await presentLayer(deps, image, known)) ?? (await finishedLayer(deps, image, finished));
}

/** Finds the stored blob that matches the registry's checksum over JSON and layer. */
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

/** The key of an unfinished download of a v1 layer. */
export function v1PartKey({ host }: Pick<V1Repository, 'host'>, id: string): string {
  return `${V1_PART} ${host} ${id}`;
}

/** The image of a key from `v1PartKey`; undefined for other keys. */
export function parseV1PartKey(key: string): { readonly host: string; readonly v1Id: string } | undefined {
  const match = /^ (\S+) (\S+)$/.exec(key.startsWith(V1_PART) ? key.slice(V1_PART.length) : '');
  return match === null ? undefined : { host: match[1]!, v1Id: match[2]! };
}

/** Deletes unfinished downloads of these images. Throws StoreError. */
export async function forgetParts(
  { content }: Pick<OperationDeps, 'content'>,
  repository: V1Repository,
  ids: readonly string[],
): Promise<void> {
  for (const id of ids) await content.forgetPart(v1PartKey(repository, id));
}
