import { constants } from 'node:fs';
import { readlinkAt, type FileStat } from '../sys/index.js';
import { fromByteString, type ByteString } from './byte-path.js';
import type { ChangedAspect } from './change.js';
import { contentEqual, type FilePlace } from './content-equal.js';
import { readXattrs, type Xattrs } from './read-metadata.js';
import type { DataHint } from './suspects.js';

/** One side of a comparison: `name` in the directory `dir`, or `''` for the directory itself. */
interface EntryPlace {
  readonly dir: number;
  readonly stat: FileStat;
}

const { S_IFMT, S_IFREG, S_IFLNK } = constants;

/**
 * The differences between two entries of the same name, except hard links. `data` says where two files of equal size
 * may differ; `path` is for errors. Yields while it reads long files. Throws SyscallError.
 */
export function* compareEntries(
  name: ByteString,
  lower: EntryPlace,
  upper: EntryPlace,
  { data, path }: { readonly data: DataHint; readonly path: ByteString },
): Generator<void, ChangedAspect[]> {
  const [a, b] = [lower.stat, upper.stat];
  const type = b.mode & S_IFMT;
  if ((a.mode & S_IFMT) !== type) return ['type'];
  const bytes = fromByteString(name);
  const changed: ChangedAspect[] = [];
  if (type === S_IFREG) {
    if (a.size !== b.size) changed.push('content');
    else if (data !== 'none') {
      const file = ({ dir }: EntryPlace): FilePlace => ({ dir, name: bytes, path: fromByteString(path) });
      const equal = yield* contentEqual(file(lower), file(upper), Number(b.size), data === 'whole' ? undefined : data);
      if (!equal) changed.push('content');
    }
  } else if (a.rdevMajor !== b.rdevMajor || a.rdevMinor !== b.rdevMinor) changed.push('content');
  if (a.mode !== b.mode && type !== S_IFLNK) changed.push('mode');
  if (a.uid !== b.uid || a.gid !== b.gid) changed.push('owner');
  if (a.mtimeNs !== b.mtimeNs) changed.push('mtime');
  if (!sameXattrs(readXattrs(lower.dir, bytes), readXattrs(upper.dir, bytes))) changed.push('xattr');
  if (type === S_IFLNK && !readlinkAt(lower.dir, bytes).equals(readlinkAt(upper.dir, bytes))) changed.push('link');
  return changed;
}

function sameXattrs(a: Xattrs, b: Xattrs): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) if (b.get(name)?.equals(value) !== true) return false;
  return true;
}
