import { closeSync, constants } from 'node:fs';
import {
  addressOf,
  constantAddress,
  AT_EMPTY_PATH,
  AT_FDCWD,
  directChmod,
  directChown,
  directClose,
  directGetXattr,
  directMkdirAt,
  directOpenAt,
  directRemoveXattr,
  directSetFileTimes,
  directStatx,
  fdPath,
  lastErrno,
  openAt2,
  OPEN_DIRECTORY,
  O_CLOEXEC,
  readlinkAt,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  syscallError,
} from '../sys/index.js';
import { canonicalHashes } from './canonical-hashes.js';
import { PathHash } from './path-hash.js';
import { timesAddress } from './times-address.js';

/** The most directories held open at once; a deeper one is opened on its own, in one step from the root. */
const MAX_CHAIN = 64;
const STATX_MODE_UID_GID_MTIME = 0x2 | 0x8 | 0x10 | 0x40;
const S_ISGID = 0o2000;

/** An open directory inside the root. Valid until the chain is asked for another one. */
export interface DirHandle {
  readonly fd: number;
  /** New files inside inherit this directory's group. */
  setgid: boolean;
  /** New files inside inherit access rules (the directory has a default ACL). */
  inheritsAcl: boolean;
  /** Something inside was changed: the modification time is restored when the handle is closed. */
  touched: boolean;
  mtimeSeconds: number;
  mtimeNanos: number;
  /** Hash of its canonical path. */
  readonly hash: PathHash;
  /** Set by `enter` with `create`: the directory counts as mentioned by the layer. */
  mentioned: boolean;
}

interface Link extends DirHandle {
  /** Length of its textual path in `#path`. */
  readonly end: number;
  /** Hashes of the parent directories that have no link of their own in the chain. */
  readonly above: readonly PathHash[];
}

/** The results of `enter` other than a directory. */
type NoDirectory = 'missing' | 'blocked';

/** Scratch memory for structures that the kernel reads or fills. */
const memory = new Uint8Array(512);
const memoryAddress = addressOf(memory);
const words = new Uint32Array(memory.buffer);
const bigWords = new BigInt64Array(memory.buffer);
const EMPTY_PATH_AT = 504;

const DEFAULT_ACL_ADDRESS = constantAddress('system.posix_acl_default');
const ACCESS_ACL_ADDRESS = constantAddress('system.posix_acl_access');

/**
 * The parent directories of the current entry, kept open while entries follow each other through a tree. Links in a
 * path resolve inside the root (openat2, RESOLVE_IN_ROOT). Restores the modification times of touched directories when
 * it leaves them. At most one handle per inode has a time to restore: a path through a link is opened on its own, after
 * all others are closed. Throws SyscallError.
 */
export class DirChain {
  readonly #rootFd: number;
  readonly #rootPath: Buffer;
  readonly #links: Link[] = [];
  #rootAside = false;
  #path = new Uint8Array(8192);
  readonly #name = new Uint8Array(512);
  readonly #nameAddress = addressOf(this.#name);
  readonly #onMention: (hash: PathHash) => void;

  /** `rootFd` remains the caller's. `onMention` receives each directory that `enter` with `create` passes, once per visit. */
  constructor(rootFd: number, onMention: (hash: PathHash) => void) {
    this.#rootFd = rootFd;
    this.#rootPath = readlinkAt(AT_FDCWD, fdPath(rootFd));
    this.#onMention = onMention;
    this.#links.push(this.#link(rootFd, 0, new PathHash()));
  }

  /**
   * The directory at `bytes[0..end)` (a clean path as in RelativePath). With `create`, missing directories are created
   * with mode 0755, owner root and time 0. Returns `missing` (never with `create`) or `blocked` (a component is not a
   * directory, nor a link to one).
   */
  enter(bytes: Uint8Array, end: number, create: boolean): DirHandle | NoDirectory {
    let link = this.#common(bytes, end);
    while (link.end < end) {
      const next = this.#descend(link, bytes, end, create);
      if (typeof next === 'string') return next;
      link = next;
    }
    if (create && !link.mentioned) this.#mention();
    return link;
  }

  /**
   * Adds the open directory `fd` at the path `bytes[0..end)`, a child of the last one entered, to the chain. Its
   * modification time is set to the given one in the end.
   */
  adopt(
    fd: number,
    path: { readonly bytes: Uint8Array; readonly parentEnd: number; readonly nameStart: number; readonly end: number },
    state: Pick<DirHandle, 'setgid' | 'inheritsAcl' | 'mtimeSeconds' | 'mtimeNanos'>,
  ): void {
    const parent = this.#common(path.bytes, path.parentEnd);
    if (this.#links.length >= MAX_CHAIN) this.#closeAll();
    const hash = new PathHash().from(parent.hash).child(path.bytes, path.nameStart, path.end);
    this.#push({ fd, end: path.end, touched: true, mentioned: true, hash, above: [], ...state }, path.bytes);
    this.#onMention(hash);
  }

  /** The open handle at exactly this path, if any. */
  find(bytes: Uint8Array, end: number): DirHandle | undefined {
    return this.#links.find(
      (link) => link.end === end && (end > 0 || !this.#rootAside) && this.#matches(bytes, link.end),
    );
  }

  /** Sets the final modification time of the root, and reads its other properties again. */
  setRootTime(seconds: number, nanos: number): void {
    const root = this.#common(this.#path, 0);
    this.#look(root);
    root.mtimeSeconds = seconds;
    root.mtimeNanos = nanos;
    root.touched = true;
  }

  /** Closes all handles and restores modification times. */
  close(): void {
    this.#closeAll();
    this.#restore(this.#links[0]!);
  }

  /** Closes all handles without restoring times, after a failure. */
  abandon(): void {
    while (this.#links.length > 1) closeSync(this.#links.pop()!.fd);
  }

  /** Closes the handles that are not on the path. Returns the deepest one that is. */
  #common(bytes: Uint8Array, end: number): Link {
    const links = this.#links;
    for (;;) {
      const top = links[links.length - 1]!;
      if (
        top.end <= end &&
        (top.end === end || top.end === 0 || bytes[top.end] === 0x2f) &&
        this.#matches(bytes, top.end)
      ) {
        if (this.#rootAside && top.end === 0) this.#reopenRoot();
        return top;
      }
      this.#pop();
    }
  }

  #matches(bytes: Uint8Array, end: number): boolean {
    const path = this.#path;
    // Sibling paths differ near the end.
    for (let index = end - 1; index >= 0; index -= 1) if (path[index] !== bytes[index]) return false;
    return true;
  }

  #descend(above: Link, bytes: Uint8Array, end: number, create: boolean): Link | NoDirectory {
    let parent = above;
    const start = parent.end === 0 ? 0 : parent.end + 1;
    let stop = start;
    while (stop < end && bytes[stop] !== 0x2f) stop += 1;
    if (stop - start > 255) return 'blocked';
    if (this.#links.length >= MAX_CHAIN) {
      const alone = this.#resolve(bytes, above.end, [...this.#links.flatMap((link) => [...link.above, link.hash])]);
      if (typeof alone === 'string') return alone;
      parent = alone;
    }
    this.#name.set(bytes.subarray(start, stop));
    this.#name[stop - start] = 0;
    let fd = directOpenAt(parent.fd, this.#nameAddress, OPEN_DIRECTORY | O_CLOEXEC, 0);
    let made = false;
    if (fd < 0) {
      const errno = lastErrno();
      if (errno === 'ENOTDIR' || errno === 'ELOOP') return this.#resolve(bytes, stop);
      const shown = bytes.subarray(0, stop);
      if (errno !== 'ENOENT') throw syscallError('openat', shown, errno);
      if (!create) return 'missing';
      if (directMkdirAt(parent.fd, this.#nameAddress, 0o755) < 0) throw syscallError('mkdirat', shown);
      parent.touched = made = true;
      fd = directOpenAt(parent.fd, this.#nameAddress, OPEN_DIRECTORY | O_CLOEXEC, 0);
      if (fd < 0) throw syscallError('openat', shown);
    }
    const hash = new PathHash().from(parent.hash).child(bytes, start, stop);
    if (made) {
      const shown = bytes.subarray(0, stop);
      if (parent.setgid || parent.inheritsAcl) this.#disinherit(fd, shown);
      // The umask may have taken some of it.
      if (directChmod(fd, 0o755) < 0) throw syscallError('fchmod', shown);
    }
    const link = this.#push(this.#link(fd, stop, hash), bytes);
    if (made) {
      link.touched = true;
      link.mtimeSeconds = link.mtimeNanos = 0;
    }
    return link;
  }

  /** Removes the inherited group and access rules of a new directory. */
  #disinherit(fd: number, path: Uint8Array): void {
    directRemoveXattr(fd, ACCESS_ACL_ADDRESS);
    directRemoveXattr(fd, DEFAULT_ACL_ADDRESS);
    if (directChown(fd, process.geteuid!(), process.getegid!()) < 0) throw syscallError('fchown', path);
  }

  /**
   * Opens on its own and in one step a path that leads through a link or is very deep. `hashes`: the hashes of the
   * directories on the path, its own last, if known.
   */
  #resolve(bytes: Uint8Array, stop: number, hashes?: readonly PathHash[]): Link | NoDirectory {
    this.#closeAll();
    this.#restore(this.#links[0]!);
    this.#rootAside = true;
    const path = bytes.slice(0, stop);
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    let fd: number;
    try {
      fd = openAt2(this.#rootFd, path, { flags: OPEN_FOLLOWING, resolve });
    } catch (error) {
      const { errno } = error as { errno?: string };
      if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP' || errno === 'EXDEV') return 'blocked';
      throw error;
    }
    try {
      const above = [...(hashes ?? canonicalHashes(this.#rootPath, fd))];
      return this.#push(this.#link(fd, stop, above.pop()!, above), bytes);
    } catch (error) {
      directClose(fd);
      throw error;
    }
  }

  #link(fd: number, end: number, hash: PathHash, above: readonly PathHash[] = []): Link {
    const link = {
      fd,
      end,
      hash,
      above,
      setgid: false,
      inheritsAcl: false,
      touched: false,
      mentioned: false,
      mtimeSeconds: 0,
      mtimeNanos: 0,
    };
    this.#look(link);
    return link;
  }

  #look(link: Link): void {
    memory[EMPTY_PATH_AT] = 0;
    const status = directStatx(
      link.fd,
      memoryAddress + EMPTY_PATH_AT,
      AT_EMPTY_PATH,
      STATX_MODE_UID_GID_MTIME,
      memoryAddress,
    );
    if (status < 0) throw syscallError('statx');
    link.setgid = (words[0x1c / 4]! & S_ISGID) !== 0;
    link.mtimeSeconds = Number(bigWords[0x70 / 8]);
    link.mtimeNanos = words[0x78 / 4]!;
    link.inheritsAcl = directGetXattr(link.fd, DEFAULT_ACL_ADDRESS, 0, 0) >= 0;
  }

  #push(link: Link, bytes: Uint8Array): Link {
    this.#path.set(bytes.subarray(0, link.end));
    this.#links.push(link);
    return link;
  }

  #mention(): void {
    for (const link of this.#links) {
      if (link.mentioned) continue;
      link.mentioned = true;
      for (const hash of link.above) this.#onMention(hash);
      this.#onMention(link.hash);
    }
  }

  #pop(): void {
    const link = this.#links.pop()!;
    this.#restore(link);
    directClose(link.fd);
  }

  #closeAll(): void {
    while (this.#links.length > 1) this.#pop();
  }

  #restore(link: Link): void {
    if (!link.touched) return;
    link.touched = false;
    if (directSetFileTimes(link.fd, timesAddress(link.mtimeSeconds, link.mtimeNanos)) < 0)
      throw syscallError('futimens');
  }

  #reopenRoot(): void {
    this.#rootAside = false;
    this.#look(this.#links[0]!);
  }
}

const OPEN_FOLLOWING = OPEN_DIRECTORY & ~constants.O_NOFOLLOW;
