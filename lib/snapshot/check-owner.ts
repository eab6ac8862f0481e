import { lstatSync, statSync, type Stats } from 'node:fs';
import { StoreError } from '../errors.js';
import { othersCanWrite } from '../util/index.js';

/**
 * Refuses a file or directory of the store that another user created or can change, because root would mount, run and
 * trust its content. Accepts a missing one. Throws StoreError.
 */
export function checkOwner(path: string): void {
  if (process.geteuid?.() !== 0) return;
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  checkOwnerOf(found, path);
  if (!found.isSymbolicLink()) return;
  const behind = statSync(path, { throwIfNoEntry: false });
  if (behind !== undefined) checkOwnerOf(behind, path);
}

/** Like `checkOwner`, with a status that is already known. */
export function checkOwnerOf(stats: Stats, path: string): void {
  const { uid } = stats;
  if (process.geteuid?.() !== 0) return;
  if (uid !== 0) {
    throw new StoreError(`${path} belongs to user ${uid}, not to root: its content cannot be trusted`, {
      path,
      hint: `choose another directory with --root; if you trust the content: chown root ${path}`,
    });
  }
  // The mode of a link is meaningless.
  if (stats.isSymbolicLink() || !othersCanWrite(stats)) return;
  throw new StoreError(`users other than root can write to ${path}: its content cannot be trusted`, {
    path,
    hint: `choose another directory with --root; if you trust the content: chmod go-w ${path}`,
  });
}
