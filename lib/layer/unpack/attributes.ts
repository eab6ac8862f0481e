import { closeSync, constants } from 'node:fs';
import { isRefusedXattr, timesAddress, type DirHandle, type RelativePath } from '../../rootfs/index.js';
import {
  constantAddress,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  chmodAt,
  directChmod,
  directChown,
  directChownAt,
  directRemoveXattr,
  directSetFileTimes,
  directSetTimes,
  displayPath,
  fdPath,
  isErrno,
  listXattrs,
  O_PATH,
  openAt,
  removeXattr,
  setXattr,
  setXattrFd,
} from '../../sys/index.js';
import { TYPE } from '../tar/header.js';
import type { MemberXattr, TarMember } from '../tar/member.js';
import { unpackError } from './unpack-error.js';

const SPECIAL_BITS = 0o6000;
const ACCESS_ACL_ADDRESS = constantAddress('system.posix_acl_access');
const DEFAULT_ACL_ADDRESS = constantAddress('system.posix_acl_default');

/** A path that is converted to bytes only for messages and calls by name. */
type EntryPath = Pick<RelativePath, 'toBuffer' | 'nameStart'>;

/**
 * Sets owner, mode, extended attributes and times in an order that preserves all of them: changing the owner clears
 * setuid bits and capabilities, and writing changes the modification time.
 */
export class AttributeSetter {
  readonly #exactModes: boolean;
  readonly #uid = process.geteuid!();
  readonly #gid = process.getegid!();
  readonly #note: (text: string) => void;

  /** `exactModes`: this thread creates files with umask 0. `note` receives a line for each attribute that the kernel refuses. */
  constructor(exactModes: boolean, note: (text: string) => void) {
    this.#exactModes = exactModes;
    this.#note = note;
  }

  /** Sets all attributes of a regular file that was just created and written in `dir`; its times last. */
  file(fd: number, dir: DirHandle, member: TarMember, path: EntryPath): void {
    const chowned = this.#owns(dir, member) ? false : this.#chown(fd, member, path);
    if (dir.inheritsAcl) directRemoveXattr(fd, ACCESS_ACL_ADDRESS);
    if (!this.#exactModes || dir.inheritsAcl || (chowned && (member.mode & SPECIAL_BITS) !== 0))
      if (directChmod(fd, member.mode) < 0) throw unpackError('fchmod', path.toBuffer());
    if (member.xattrs.length > 0) this.#xattrs(fd, member.xattrs, path);
    if (directSetFileTimes(fd, timesAddress(member.mtimeSeconds, member.mtimeNanos)) < 0)
      throw unpackError('futimens', path.toBuffer());
  }

  /** Sets all attributes except times of a new directory in `dir`. */
  newDirectory(fd: number, dir: DirHandle, member: TarMember, path: EntryPath): void {
    if (!this.#owns(dir, member)) this.#chown(fd, member, path);
    if (dir.inheritsAcl) {
      directRemoveXattr(fd, ACCESS_ACL_ADDRESS);
      directRemoveXattr(fd, DEFAULT_ACL_ADDRESS);
    }
    if (!this.#exactModes || dir.setgid || dir.inheritsAcl || (member.mode & SPECIAL_BITS) !== 0)
      if (directChmod(fd, member.mode) < 0) throw unpackError('fchmod', path.toBuffer());
    if (member.xattrs.length > 0) this.#xattrs(fd, member.xattrs, path);
  }

  /** Replaces all attributes except times of an existing directory (image-spec layer.md, "Applying"). */
  existingDirectory(fd: number, member: TarMember, path: EntryPath): void {
    this.#chown(fd, member, path);
    const self = fdPath(fd, '.');
    for (const name of listXattrs(self)) {
      if (member.xattrs.some((xattr) => xattr.name.equals(name))) continue;
      try {
        removeXattr(self, name);
      } catch (error) {
        // Keeps labels owned by the host's security module.
        if (!isErrno(error, 'EPERM', 'EACCES', 'ENOTSUP', 'ENODATA', 'EINVAL')) throw error;
      }
    }
    if (directChmod(fd, member.mode) < 0) throw unpackError('fchmod', path.toBuffer());
    if (member.xattrs.length > 0) this.#xattrs(fd, member.xattrs, path);
  }

  /** Sets all attributes of a file that cannot safely be opened: a link, device or fifo. `name`: address of the last component. */
  special(dir: DirHandle, name: number, member: TarMember, path: EntryPath): void {
    const isLink = member.type === TYPE.symlink;
    const chowned = !this.#owns(dir, member);
    if (chowned && directChownAt(dir.fd, name, member.uid, member.gid, AT_SYMLINK_NOFOLLOW) < 0)
      throw unpackError('fchownat', path.toBuffer());
    if (!isLink && (!this.#exactModes || dir.inheritsAcl || (chowned && (member.mode & SPECIAL_BITS) !== 0))) {
      if (dir.inheritsAcl) this.#dropInheritedAcl(dir, path);
      this.#chmodSpecial(dir, member.mode, path);
    }
    if (member.xattrs.length > 0) {
      const full = path.toBuffer();
      const self = fdPath(dir.fd, full.subarray(path.nameStart));
      for (const { name: key, value } of member.xattrs)
        this.#tolerate(path, key, value, () => setXattr(self, key, value));
    }
    const times = timesAddress(member.mtimeSeconds, member.mtimeNanos);
    if (directSetTimes(dir.fd, name, times, AT_SYMLINK_NOFOLLOW) < 0) throw unpackError('utimensat', path.toBuffer());
  }

  /** Uses a descriptor, because fchmodat would follow a link that has taken the name meanwhile. */
  #chmodSpecial(dir: DirHandle, mode: number, path: EntryPath): void {
    const fd = openAt(dir.fd, path.toBuffer().subarray(path.nameStart), O_PATH | constants.O_NOFOLLOW);
    try {
      chmodAt(AT_FDCWD, fdPath(fd), mode);
    } finally {
      closeSync(fd);
    }
  }

  #dropInheritedAcl(dir: DirHandle, path: EntryPath): void {
    try {
      removeXattr(fdPath(dir.fd, path.toBuffer().subarray(path.nameStart)), 'system.posix_acl_access');
    } catch (error) {
      if (!isErrno(error, 'ENODATA', 'ENOTSUP')) throw error;
    }
  }

  /** True when a new file in `dir` already has the right owner. */
  #owns(dir: DirHandle, member: TarMember): boolean {
    return member.uid === this.#uid && member.gid === this.#gid && !dir.setgid;
  }

  #chown(fd: number, member: TarMember, path: EntryPath): true {
    if (directChown(fd, member.uid, member.gid) < 0) throw unpackError('fchown', path.toBuffer());
    return true;
  }

  #xattrs(fd: number, xattrs: readonly MemberXattr[], path: EntryPath): void {
    for (const { name, value } of xattrs) this.#tolerate(path, name, value, () => setXattrFd(fd, name, value));
  }

  /** Like podman, omits an attribute that the kernel or the file system cannot store, with a note. */
  #tolerate(path: EntryPath, name: Uint8Array, value: Uint8Array, set: () => void): void {
    try {
      set();
    } catch (error) {
      if (!isRefusedXattr(error, value)) throw error;
      this.#note(
        `${displayPath(path.toBuffer())}: attribute ${displayPath(name)} left out (${(error as { errno: string }).errno})`,
      );
    }
  }
}
