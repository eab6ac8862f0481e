import { closeSync, constants } from 'node:fs';
import { O_PATH, openAt, openAt2, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from '../sys/index.js';
import { fromByteString, pathComponents, toByteString } from './byte-path.js';

/** System calls accept paths of at most 4,096 bytes; longer ones are opened in pieces. Bytes. */
const PIECE = 2048;

/** The open parent directory of a path, and the path's last component; `''` for the root itself. */
interface OpenParent {
  /** The caller closes it with `fs.closeSync`. */
  readonly dir: number;
  readonly name: Buffer;
}

/**
 * Opens the parent directory of `path` (bytes of any length; a leading slash is ignored) below the directory `root`.
 * Refuses `..` and links, so nothing outside is reached. Throws SyscallError.
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
