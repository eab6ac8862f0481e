import { AT_FDCWD, fdPath, readlinkAt } from '../sys/index.js';
import { PathHash } from './path-hash.js';

/**
 * Hashes of the canonical (link-free) path of directory `fd`, so that each directory has one hash: one hash per
 * component from the root at `rootPath` down to it. Throws SyscallError.
 */
export function canonicalHashes(rootPath: Uint8Array, fd: number): PathHash[] {
  const path = readlinkAt(AT_FDCWD, fdPath(fd)).subarray(rootPath.length === 1 ? 0 : rootPath.length);
  const hashes = [new PathHash()];
  for (let at = 1; at < path.length;) {
    const slash = path.indexOf(0x2f, at);
    const stop = slash < 0 ? path.length : slash;
    hashes.push(new PathHash().from(hashes.at(-1)).child(path, at, stop));
    at = stop + 1;
  }
  return hashes;
}
