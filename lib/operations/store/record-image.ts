import type { ImageRecord } from '../../metadata/index.js';
import { isSameForm, type Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** An image to record: everything but what an earlier record of the same image decides. */
export type NewImage = Omit<ImageRecord, 'version' | 'names' | 'sources' | 'pulled'>;

/** An image as it is recorded, to be recorded again with another name or source. */
export function newImageOf(record: ImageRecord): NewImage {
  const { version: _version, names: _names, sources: _sources, pulled: _pulled, ...image } = record;
  return image;
}

/**
 * Writes an image's record, last of all, and moves `name` to it from the record that had it. Names and sources of an
 * earlier record with the same manifest stay. Resolves with the record.
 */
export async function recordImage(
  { metadata }: Pick<OperationDeps, 'metadata'>,
  image: NewImage,
  {
    name,
    source,
    takenError,
    signal,
  }: {
    readonly name?: string | undefined;
    readonly source?: string;
    /** The error to throw, before anything is written, when another image has the name. */
    readonly takenError?: (name: string, holder: Digest) => Error;
    readonly signal: AbortSignal;
  },
): Promise<ImageRecord> {
  const lock = await metadata.lock('image-names', { mode: 'exclusive', signal });
  try {
    if (name !== undefined && takenError !== undefined) {
      const holder = (await metadata.images.list()).find(({ id, names }) => id !== image.id && names.includes(name));
      if (holder !== undefined) throw takenError(name, holder.id);
    }
    const old = await metadata.images.find(image);
    const record: ImageRecord = {
      version: 1,
      ...image,
      names: union(old?.names, name),
      sources: union(old?.sources, source),
      pulled: old?.pulled ?? new Date().toISOString(),
    };
    await metadata.images.put(record);
    if (name !== undefined) await takeName({ metadata }, name, record);
    return record;
  } finally {
    lock.release();
  }
}

/**
 * Takes `name` from every record but `holder`, which has it already: a crash before leaves it on both. A record of the same
 * image that is left without a name is replaced by `holder` and deleted. Call with the names locked.
 */
export async function takeName(
  { metadata }: Pick<OperationDeps, 'metadata'>,
  name: string,
  holder: ImageRecord,
): Promise<void> {
  for (const other of await metadata.images.list()) {
    if (isSameForm(other, holder) || !other.names.includes(name)) continue;
    const names = other.names.filter((entry) => entry !== name);
    if (names.length === 0 && other.id === holder.id) await metadata.images.delete(other);
    else await metadata.images.put({ ...other, names });
  }
}

function union(list: readonly string[] | undefined, entry: string | undefined): string[] {
  return [...new Set([...(list ?? []), ...(entry === undefined ? [] : [entry])])].sort();
}
