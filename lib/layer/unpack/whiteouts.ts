import { closeSync } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import { listNames, PathHash, removeTree, type PathHashSet, type RelativePath } from '../../rootfs/index.js';
import { displayPath, isErrno, openAt, OPEN_DIRECTORY, setTimesFd, statAt } from '../../sys/index.js';
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from '../whiteout.js';

const PREFIX = Buffer.from(WHITEOUT_PREFIX);
const META_PREFIX = Buffer.from(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`);
const OPAQUE = Buffer.from(OPAQUE_MARKER);

/**
 * Directory at the root in which AUFS stored files with several names. Old layers contain it and hard links into it. It
 * is not part of the rootfs.
 */
export const AUFS_LINK_STORE: Buffer = Buffer.from(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}plnk`);

/**
 * The meaning of an entry's path: an ordinary file, a whiteout, an opaque marker, a file in AUFS_LINK_STORE, or another
 * AUFS remnant to skip.
 */
type PathMeaning = 'plain' | 'whiteout' | 'opaque' | 'link store' | 'skip';

/** Determines the meaning from the names (image-spec layer.md, "Whiteouts"). Throws LayerFormatError for an invalid whiteout. */
export function meaningOf(path: RelativePath): PathMeaning {
  const { bytes, end } = path;
  for (let start = 0; start < end;) {
    if (isAt(bytes, start, PREFIX)) {
      if (isAt(bytes, start, META_PREFIX)) {
        if (start === path.nameStart)
          return end - start === OPAQUE.length && isAt(bytes, start, OPAQUE) ? 'opaque' : 'skip';
        return path.parentEnd === AUFS_LINK_STORE.length && isAt(bytes, 0, AUFS_LINK_STORE) ? 'link store' : 'skip';
      }
      if (start === path.nameStart) {
        const hidden = start + PREFIX.length;
        const isDots =
          bytes[hidden] === 0x2e && (end === hidden + 1 || (end === hidden + 2 && bytes[hidden + 1] === 0x2e));
        if (end !== hidden && !isDots) return 'whiteout';
      }
      const entry = displayPath(path.toBuffer());
      throw new LayerFormatError(`the layer has an invalid whiteout: ${entry}`, { entry });
    }
    while (start < end && bytes[start] !== 0x2f) start += 1;
    start += 1;
  }
  return 'plain';
}

/** The name that a whiteout hides, without NUL. */
export function hiddenName(path: RelativePath): Buffer {
  return Buffer.from(path.bytes.subarray(path.nameStart + PREFIX.length, path.end));
}

/**
 * Removes `name` in `dir` as far as it comes from lower layers: files of this layer and directories that contain them
 * stay. `dirHash` is the hash of `dir`.
 */
export function hideLower(dir: number, name: Uint8Array, dirHash: PathHash, mentioned: PathHashSet): void {
  const hash = new PathHash().from(dirHash).child(name, 0, name.length);
  if (!mentioned.has(hash)) {
    removeTree(dir, name);
    return;
  }
  let child: number;
  try {
    child = openAt(dir, name, OPEN_DIRECTORY);
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'ELOOP', 'ENOENT')) return;
    throw error;
  }
  try {
    const { mtimeNs } = statAt(child, '');
    hideLowerChildren(child, hash, mentioned);
    setTimesFd(child, mtimeNs);
  } finally {
    closeSync(child);
  }
}

/** `hideLower` for everything in `dir`. */
export function hideLowerChildren(dir: number, dirHash: PathHash, mentioned: PathHashSet): void {
  for (const name of listNames(dir)) hideLower(dir, name, dirHash, mentioned);
}

function isAt(bytes: Uint8Array, start: number, text: Uint8Array): boolean {
  for (let index = 0; index < text.length; index += 1) if (bytes[start + index] !== text[index]) return false;
  return true;
}
