import { lstatSync, statSync, type Stats } from 'node:fs';
import { StoreError } from '../errors.js';
import { othersCanWrite } from '../util/index.js';

/**
 * Refuses a file or directory of the store that another user made, or can change: root would mount, run and believe what that user
 * put there. Nothing is there: no objection. Throws StoreError.
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

/** As `checkOwner`, of what was opened or looked at already. */
export function checkOwnerOf(stats: Stats, path: string): void {
  const { uid } = stats;
  if (process.geteuid?.() !== 0) return;
  if (uid !== 0) {
    throw new StoreError(`${path} belongs to user ${uid}, not to root: it could hold anything`, {
      path,
      hint: `choose another place with --root; if you trust its content: chown root ${path}`,
    });
  }
  // The mode of a link says nothing.
  if (stats.isSymbolicLink() || !othersCanWrite(stats)) return;
  throw new StoreError(`users other than root can write to ${path}: it could hold anything`, {
    path,
    hint: `choose another place with --root; if you trust its content: chmod go-w ${path}`,
  });
}
