import type { ImageRecord } from '../metadata/index.js';
import { digestHex, type Digest } from '../spec/index.js';
import type { OperationDeps } from './deps.js';

/** An image to record: everything but what an earlier record of the same image decides. */
export type NewImage = Omit<ImageRecord, 'version' | 'names' | 'sources' | 'pulled'>;

/** An image as it is recorded, to be recorded again with another name or source. */
export function newImageOf(record: ImageRecord): NewImage {
  const { version: _version, names: _names, sources: _sources, pulled: _pulled, ...image } = record;
  return image;
}

/**
 * Writes an image's record, last of all, and moves `name` to it from the image that had it. Names and sources of an
 * earlier record stay. Resolves with the record.
 */
export async function recordImage(
  { metadata }: Pick<OperationDeps, 'metadata'>,
  image: NewImage,
  {
    name,
    source,
    onTaken,
    signal,
  }: {
    readonly name?: string | undefined;
    readonly source?: string;
    /** The error to throw, before anything is written, when another image has the name. */
    readonly onTaken?: (name: string, holder: Digest) => Error;
    readonly signal: AbortSignal;
  },
): Promise<ImageRecord> {
  const lock = await metadata.lock('image-names', { mode: 'exclusive', signal });
  try {
    if (name !== undefined && onTaken !== undefined) {
      const holder = (await metadata.images.list()).find(({ id, names }) => id !== image.id && names.includes(name));
      if (holder !== undefined) throw onTaken(name, holder.id);
    }
    const old = await metadata.images.get(digestHex(image.id));
    const record: ImageRecord = {
      version: 1,
      ...image,
      names: union(old?.names, name),
      sources: union(old?.sources, source),
      pulled: old?.pulled ?? new Date().toISOString(),
    };
    await metadata.images.put(digestHex(image.id), record);
    // The name moves: a crash in between leaves it on both, and the newest record is found first.
    for (const other of await metadata.images.list()) {
      if (name === undefined || other.id === image.id || !other.names.includes(name)) continue;
      const names = other.names.filter((entry) => entry !== name);
      await metadata.images.put(digestHex(other.id), { ...other, names });
    }
    return record;
  } finally {
    lock.release();
  }
}

function union(list: readonly string[] | undefined, entry: string | undefined): string[] {
  return [...new Set([...(list ?? []), ...(entry === undefined ? [] : [entry])])].sort();
}
