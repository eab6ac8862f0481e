import { closeSync, constants } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import { hasSameInode, RelativePath, removeTree, type DirChain, type DirHandle } from '../../rootfs/index.js';
import {
  directLinkAt,
  displayPath,
  lastErrno,
  openAt2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from '../../sys/index.js';
import { PATH_LIMITS } from '../limits.js';
import type { TarMember } from '../tar/member.js';
import { pathError, unpackError } from './unpack-error.js';

/** Creates hard links. Keeps the directory of the last target open, because links to one directory often follow each other. */
export class HardLinker {
  readonly #rootFd: number;
  readonly #chain: DirChain;
  readonly #target = new RelativePath(PATH_LIMITS);
  /** Directory of the last target, when it is not a parent of the current entry. */
  #kept: { readonly fd: number; readonly path: Buffer } | undefined;

  constructor(rootFd: number, chain: DirChain) {
    this.#rootFd = rootFd;
    this.#chain = chain;
  }

  /**
   * Creates the entry `member` at `path` in `dir`, replacing an existing file. Owner, mode and times are those of the
   * target. Throws LayerFormatError, PathEscapeError, SyscallError.
   */
  make(member: TarMember, path: RelativePath, dir: DirHandle): void {
    const target = this.#target;
    const problem = target.assign(member.linkBytes, member.linkStart, member.linkEnd);
    if (problem !== undefined) throw pathError(problem, member.linkName(), 'a hard link');
    const from = target.isRoot ? undefined : this.#targetDir();
    if (from === undefined) throw this.#linkError(path, 'points to a missing file');
    const fromName = target.address + target.nameStart;
    const toName = path.address + path.nameStart;
    if (directLinkAt(from, fromName, dir.fd, toName, 0) === 0) return;
    let errno: string | undefined = lastErrno();
    if (errno === 'EEXIST') {
      const name = path.bytes.subarray(path.nameStart, path.end);
      if (hasSameInode(from, target.bytes.subarray(target.nameStart, target.end), dir.fd, name)) return;
      removeTree(dir.fd, name);
      const linked = directLinkAt(from, fromName, dir.fd, toName, 0) === 0;
      errno = linked ? undefined : lastErrno();
      // The replaced name may be a link in the path of the kept directory.
      this.forget();
      if (errno === undefined) return;
    }
    if (errno === 'ENOENT') throw this.#linkError(path, 'points to a missing file');
    if (errno === 'EPERM') throw this.#linkError(path, 'points to a directory');
    throw unpackError('linkat', path.toBuffer(), errno);
  }

  /** Closes the kept directory: before removing anything that may be part of its path, and at the end. */
  forget(): void {
    if (this.#kept !== undefined) closeSync(this.#kept.fd);
    this.#kept = undefined;
  }

  #linkError(path: RelativePath, reason: string): LayerFormatError {
    const entry = displayPath(path.toBuffer());
    const to = displayPath(this.#target.toBuffer());
    return new LayerFormatError(`the layer has a hard link that ${reason}: ${entry} to ${to}`, { entry });
  }

  /** Opens the directory of a hard link's target. The last component is never followed. */
  #targetDir(): number | undefined {
    const { bytes, parentEnd } = this.#target;
    const handle = this.#chain.find(bytes, parentEnd);
    if (handle !== undefined) return handle.fd;
    if (parentEnd === 0) return this.#rootFd;
    const parent = bytes.subarray(0, parentEnd);
    if (this.#kept?.path.equals(parent)) return this.#kept.fd;
    this.forget();
    try {
      const fd = openAt2(this.#rootFd, parent, {
        flags: constants.O_RDONLY | constants.O_DIRECTORY,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
      });
      this.#kept = { fd, path: Buffer.from(parent) };
      return fd;
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as { errno?: string }).errno ?? '')) return undefined;
      throw error;
    }
  }
}
