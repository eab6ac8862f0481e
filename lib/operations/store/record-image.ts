import type { ImageRecord } from '../../metadata/index.js';
import { isSameForm, type Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** An image to record, without the parts that an earlier record of the same image provides. */
export type NewImage = Omit<ImageRecord, 'version' | 'names' | 'sources' | 'pulled'>;

/** Converts a record back, to record the image with another name or source. */
export function newImageOf(record: ImageRecord): NewImage {
  const { version: _version, names: _names, sources: _sources, pulled: _pulled, ...image } = record;
  return image;
}

/**
 * Writes the record of an image after everything else, and moves `name` to it. Keeps the names and sources of an
 * earlier record with the same manifest. Resolves with the record.
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
    /** Creates the error to throw, before anything is written, when another image has the name. */
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
 * Removes `name` from every record except `holder`, which already has it, so that a crash leaves it on both. Deletes a
 * record of the same image that has no name left, because `holder` replaces it. Requires the lock on names.
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
