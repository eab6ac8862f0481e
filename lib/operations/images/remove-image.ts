import { AlreadyExistsError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { digestHex, type ChainId, type Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { findImage, type FoundImage, namesOf, readRecords } from '../store/index.js';

/** Result for one image argument. */
export interface RemovedImage {
  readonly id: Digest;
  /** The removed names. */
  readonly untagged: readonly string[];
  /** True if the image itself was removed. */
  readonly removed: boolean;
  readonly layers: readonly ChainId[];
  readonly blobs: readonly Digest[];
}

/**
 * Removes one name of several, or, given its last name or its ID, the image with the layers and blobs that nothing else
 * needs. Refuses while a container uses it; with `force`, it then removes only the names. Waits for other processes in
 * the store before deleting layers. Throws NotFoundError, AlreadyExistsError (in use), UsageError.
 */
export async function removeImage(
  deps: Pick<OperationDeps, 'metadata' | 'content' | 'snapshots' | 'progress'>,
  { image, force, signal }: { readonly image: string; readonly force: boolean; readonly signal: AbortSignal },
): Promise<RemovedImage> {
  await findImage(deps, image);
  deps.metadata.makeRoom();
  const store = await deps.metadata.lock('store', {
    mode: 'exclusive',
    signal,
    onWait: () => deps.progress.note('waiting for other imgtool processes that work in the store'),
  });
  try {
    const names = await deps.metadata.lock('image-names', { mode: 'exclusive', signal });
    try {
      return await remove(deps, await findImage(deps, image), force);
    } finally {
      names.release();
    }
  } finally {
    store.release();
    await deps.metadata.keepRoom();
  }
}

async function remove(
  deps: Pick<OperationDeps, 'metadata' | 'content' | 'snapshots'>,
  { record, name }: FoundImage,
  force: boolean,
): Promise<RemovedImage> {
  const records = await deps.metadata.images.ofImage(record.id);
  const names = namesOf(records, record.id);
  const kept = name === undefined ? [] : names.filter((entry) => entry !== name);
  const untagged = name === undefined ? names : [name];
  const users = (await deps.metadata.containers.list()).filter((container) => container.image === record.id);
  if (kept.length === 0 && users.length > 0 && !force) {
    throw new AlreadyExistsError(
      `image ${name ?? record.id} is used by ${users.length === 1 ? 'container' : 'containers'} ${users.map((user) => user.name).join(', ')}`,
      {
        kind: 'container',
        subject: users[0]!.name,
        hint: 'remove the container with "imgtool rm" first, or take only the name away with -f',
      },
    );
  }
  if (kept.length > 0 || users.length > 0) {
    await takeNames(deps, records, untagged);
    return { id: record.id, untagged, removed: false, layers: [], blobs: [] };
  }
  // Records go first, so that a crash leaves only garbage and no incomplete image.
  for (const one of records) await deps.metadata.images.delete(one);
  return { id: record.id, untagged, removed: true, ...(await removeUnneeded(deps, records)) };
}

/** Drops a manifest that has lost all its names, as long as the image has another manifest. */
async function takeNames(
  { metadata }: Pick<OperationDeps, 'metadata'>,
  records: readonly ImageRecord[],
  untagged: readonly string[],
): Promise<void> {
  let left = records.length;
  for (const record of records) {
    const names = record.names.filter((name) => !untagged.includes(name));
    if (names.length === record.names.length) continue;
    if (names.length > 0 || left === 1) await metadata.images.put({ ...record, names });
    else {
      await metadata.images.delete(record);
      left -= 1;
    }
  }
}

async function removeUnneeded(
  deps: Pick<OperationDeps, 'metadata' | 'content' | 'snapshots'>,
  removedRecords: readonly ImageRecord[],
): Promise<{ layers: ChainId[]; blobs: Digest[] }> {
  const { images, layers, containers } = await readRecords(deps);
  const parents = new Map(layers.map(({ chainId, parent }) => [chainId, parent]));
  const needed = new Set<ChainId>(images.flatMap(({ chainIds }) => chainIds));
  for (const { base } of containers) {
    for (let next = base; next !== undefined && !needed.has(next); next = parents.get(next)) needed.add(next);
  }
  const removed: ChainId[] = [];
  for (const chainId of removedRecords[0]!.chainIds.toReversed()) {
    if (needed.has(chainId)) continue;
    await deps.metadata.layers.delete(digestHex(chainId));
    await deps.snapshots.removeLayer(chainId);
    removed.push(chainId);
  }
  const wanted = new Set([
    ...images.flatMap(blobsOf),
    ...layers
      .filter(({ chainId }) => !removed.includes(chainId))
      .flatMap(({ blob }) => (blob === undefined ? [] : [blob.digest])),
  ]);
  const blobs: Digest[] = [];
  for (const digest of new Set(removedRecords.flatMap(blobsOf))) {
    if (wanted.has(digest) || (await deps.content.stat(digest)) === undefined) continue;
    await deps.content.delete(digest);
    blobs.push(digest);
  }
  return { layers: removed, blobs };
}

function blobsOf({ manifest, config, index, layers }: ImageRecord): Digest[] {
  return [manifest, config, ...(index === undefined ? [] : [index]), ...layers].map(({ digest }) => digest);
}
