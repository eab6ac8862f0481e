import { closeSync, constants } from 'node:fs';
import { O_PATH, openAt, openAt2, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from '../sys/index.js';
import { fromByteString, pathComponents, toByteString } from './byte-path.js';

/** Kernel calls take at most 4,096 bytes of path at once; longer ones are opened in pieces. */
const PIECE = 2048;

/** The directory that a path lies in, open, and the path's last component there; `''` for the root itself. */
export interface OpenParent {
  /** The caller closes it with `fs.closeSync`. */
  readonly dir: number;
  readonly name: Buffer;
}

/**
 * Opens the directory that `path` (bytes, any length, a leading slash is ignored) lies in below the directory `root`. No
 * link is followed and nothing outside is reached: `..` and links are refused. Throws SyscallError.
 */
export function openParent(root: number, path: Uint8Array): OpenParent {
  const names = pathComponents(toByteString(path));
  const last = names.pop() ?? '';
  let dir = openAt(root, '.', O_PATH | constants.O_DIRECTORY);
  while (names.length > 0) {
    let piece = names.shift() ?? '';
    while (names[0] !== undefined && piece.length + names[0].length < PIECE) piece += `/${names.shift()}`;
    const outer = dir;
    try {
      dir = openAt2(outer, fromByteString(piece), {
        flags: O_PATH | constants.O_DIRECTORY,
        resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
      });
    } finally {
      closeSync(outer);
    }
  }
  return { dir, name: fromByteString(last) };
}
