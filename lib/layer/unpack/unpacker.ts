import { closeSync, constants } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import { DirChain, PathHash, PathHashSet, RelativePath, removeTree, type DirHandle } from '../../rootfs/index.js';
import {
  addressOf,
  AT_FDCWD,
  directClose,
  directMkdirAt,
  directMknodAt,
  directOpenAt,
  directSymlinkAt,
  displayPath,
  lastErrno,
  openAt,
  OPEN_DIRECTORY,
  O_CLOEXEC,
} from '../../sys/index.js';
import { MAX_NOTES, MAX_PATH_BYTES, MAX_TRAILING_BYTES, PATH_LIMITS } from '../limits.js';
import { StoppedError } from '../stopped-error.js';
import type { ByteWindows } from '../tar/byte-windows.js';
import { TYPE } from '../tar/header.js';
import type { TarMember } from '../tar/member.js';
import { TarReader } from '../tar/reader.js';
import { AttributeSetter } from './attributes.js';
import { pathError, asUnpackError, unpackError } from './unpack-error.js';
import { HardLinker } from './hard-links.js';
import { AUFS_LINK_STORE, hiddenName, hideLower, hideLowerChildren, meaningOf } from './whiteouts.js';
import { writeData } from './write-data.js';

interface UnpackOptions {
  /** Absolute path of the root directory. */
  readonly root: string;
  /** Treat whiteout names as ordinary names. */
  readonly plainNames: boolean;
  /** This thread creates files with umask 0. */
  readonly exactModes: boolean;
  /** Checked between entries; true stops the unpacking. */
  readonly stopped: () => boolean;
}

/** The result of unpacking. */
interface UnpackOutcome {
  readonly entries: number;
  readonly notes: readonly string[];
}

const CREATE_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | O_CLOEXEC;
const S_ISGID = 0o2000;
const FILE_TYPE_BITS: Readonly<Record<number, number>> = {
  [TYPE.charDevice]: constants.S_IFCHR,
  [TYPE.blockDevice]: constants.S_IFBLK,
  [TYPE.fifo]: constants.S_IFIFO,
};

/**
 * Unpacks the tar stream of one layer onto a root, entry by entry, with whiteouts applied; then reads the stream to its
 * end. Synchronous. Throws LayerFormatError, PathEscapeError, DiskSpaceError, SyscallError, StoppedError.
 */
export function unpackLayer(windows: ByteWindows, options: UnpackOptions): UnpackOutcome {
  const rootFd = openAt(AT_FDCWD, options.root, OPEN_DIRECTORY);
  try {
    const unpacker = new Unpacker(windows, rootFd, options);
    try {
      return unpacker.run();
    } finally {
      unpacker.close();
    }
  } finally {
    closeSync(rootFd);
  }
}

class Unpacker {
  readonly #windows: ByteWindows;
  readonly #reader: TarReader;
  readonly #member: TarMember;
  readonly #rootFd: number;
  readonly #stopped: () => boolean;
  readonly #plainNames: boolean;
  readonly #attributes: AttributeSetter;
  readonly #chain: DirChain;
  readonly #path = new RelativePath(PATH_LIMITS);
  readonly #linkText = new Uint8Array(MAX_PATH_BYTES + 1);
  readonly #linkTextAddress = addressOf(this.#linkText);
  readonly #mentioned = new PathHashSet();
  readonly #hash = new PathHash();
  readonly #notes: string[] = [];
  #moreNotes = 0;
  #openFile = -1;
  /** Files that are only named by hard links are in AUFS_LINK_STORE until the end. */
  #usesLinkStore = false;
  readonly #hardLinks: HardLinker;

  constructor(windows: ByteWindows, rootFd: number, options: UnpackOptions) {
    this.#windows = windows;
    this.#reader = new TarReader(windows);
    this.#member = this.#reader.entry;
    this.#rootFd = rootFd;
    this.#stopped = options.stopped;
    this.#plainNames = options.plainNames;
    this.#attributes = new AttributeSetter(options.exactModes, (text) => this.#note(text));
    this.#chain = new DirChain(rootFd, (hash) => this.#mentioned.add(hash));
    this.#hardLinks = new HardLinker(rootFd, this.#chain);
  }

  run(): UnpackOutcome {
    let entries = 0;
    while (this.#reader.next()) {
      if (this.#stopped()) throw new StoppedError();
      entries += 1;
      this.#apply();
    }
    if (this.#usesLinkStore) this.#removeLinkStore();
    this.#chain.close();
    const { nonZero } = this.#reader.drain(MAX_TRAILING_BYTES);
    if (nonZero) this.#note('ignored data after the end of the tar archive');
    if (this.#moreNotes > 0) this.#notes.push(`and ${this.#moreNotes} more`);
    return { entries, notes: this.#notes };
  }

  /** Closes everything that a failure left open. */
  close(): void {
    if (this.#openFile >= 0) directClose(this.#openFile);
    this.#openFile = -1;
    this.#hardLinks.forget();
    this.#chain.abandon();
  }

  #apply(): void {
    const member = this.#member;
    const path = this.#path;
    if (member.nameEnd === member.nameStart) throw new LayerFormatError('the layer has an entry without a name');
    const problem = path.assign(member.nameBytes, member.nameStart, member.nameEnd);
    if (problem !== undefined) throw pathError(problem, member.name(), 'an entry');
    try {
      if (path.isRoot) this.#root();
      else this.#dispatch();
    } catch (error) {
      throw asUnpackError(error, path.toBuffer());
    }
  }

  #dispatch(): void {
    switch (this.#plainNames ? 'plain' : meaningOf(this.#path)) {
      case 'skip':
        return;
      case 'whiteout':
        return this.#whiteout();
      case 'opaque':
        return this.#opaque();
      case 'link store':
        if (this.#member.type !== TYPE.file) return;
        this.#usesLinkStore = true;
        return this.#create();
      case 'plain':
        return this.#create();
    }
  }

  #removeLinkStore(): void {
    const root = this.#chain.enter(AUFS_LINK_STORE, 0, true);
    if (typeof root === 'string') return;
    root.touched = true;
    removeTree(root.fd, AUFS_LINK_STORE);
  }

  #root(): void {
    const member = this.#member;
    if (member.type !== TYPE.directory)
      throw new LayerFormatError('the layer has an entry that would replace the root with a non-directory', {
        entry: displayPath(member.name()),
      });
    this.#attributes.existingDirectory(this.#rootFd, member, this.#path);
    this.#chain.setRootTime(member.mtimeSeconds, member.mtimeNanos);
  }

  #whiteout(): void {
    const path = this.#path;
    const dir = this.#chain.enter(path.bytes, path.parentEnd, false);
    if (typeof dir === 'string') return;
    dir.touched = true;
    this.#hardLinks.forget();
    hideLower(dir.fd, hiddenName(path), dir.hash, this.#mentioned);
  }

  #opaque(): void {
    const path = this.#path;
    const dir = this.#chain.enter(path.bytes, path.parentEnd, false);
    if (typeof dir === 'string') return;
    dir.touched = true;
    this.#hardLinks.forget();
    hideLowerChildren(dir.fd, dir.hash, this.#mentioned);
  }

  #create(): void {
    const path = this.#path;
    const member = this.#member;
    const dir = this.#chain.enter(path.bytes, path.parentEnd, true);
    if (typeof dir === 'string') {
      const entry = displayPath(path.toBuffer());
      throw new LayerFormatError(`the layer has an entry below something that is not a directory: ${entry}`, { entry });
    }
    dir.touched = true;
    for (const name of member.lostXattrs)
      this.#note(`${displayPath(path.toBuffer())}: attribute ${name} left out: it refers to users by name`);
    this.#mentioned.add(this.#hash.from(dir.hash).child(path.bytes, path.nameStart, path.end));
    switch (member.type) {
      case TYPE.file:
        return this.#file(dir);
      case TYPE.directory:
        return this.#directory(dir);
      case TYPE.symlink:
        return this.#symlink(dir);
      case TYPE.hardLink:
        return this.#hardLinks.make(member, path, dir);
      default:
        return this.#node(dir);
    }
  }

  #file(dir: DirHandle): void {
    const member = this.#member;
    const name = this.#path.address + this.#path.nameStart;
    let fd = directOpenAt(dir.fd, name, CREATE_FILE, member.mode);
    if (fd < 0) {
      this.#clear(dir, 'openat');
      fd = directOpenAt(dir.fd, name, CREATE_FILE, member.mode);
      if (fd < 0) throw unpackError('openat', this.#path.toBuffer());
    }
    this.#openFile = fd;
    if (member.sparse !== undefined || member.size > 0) writeData(fd, this.#reader, this.#windows, this.#path);
    this.#attributes.file(fd, dir, member, this.#path);
    this.#openFile = -1;
    if (directClose(fd) < 0) throw unpackError('close', this.#path.toBuffer());
  }

  #directory(parent: DirHandle): void {
    const member = this.#member;
    const path = this.#path;
    const name = path.address + path.nameStart;
    let made = directMkdirAt(parent.fd, name, member.mode & 0o1777) === 0;
    if (!made && lastErrno() !== 'EEXIST') throw unpackError('mkdirat', path.toBuffer());
    let fd = directOpenAt(parent.fd, name, OPEN_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0 && !made) {
      const errno = lastErrno();
      if (errno !== 'ENOTDIR' && errno !== 'ELOOP') throw unpackError('openat', path.toBuffer(), errno);
      this.#remove(parent);
      made = directMkdirAt(parent.fd, name, member.mode & 0o1777) === 0;
      if (!made) throw unpackError('mkdirat', path.toBuffer());
      fd = directOpenAt(parent.fd, name, OPEN_DIRECTORY | O_CLOEXEC, 0);
    }
    if (fd < 0) throw unpackError('openat', path.toBuffer());
    this.#openFile = fd;
    if (made) this.#attributes.newDirectory(fd, parent, member, path);
    else this.#attributes.existingDirectory(fd, member, path);
    this.#openFile = -1;
    this.#chain.adopt(fd, path, {
      setgid: (member.mode & S_ISGID) !== 0,
      inheritsAcl: member.xattrs.some(({ name: key }) => key.equals(DEFAULT_ACL)),
      mtimeSeconds: member.mtimeSeconds,
      mtimeNanos: member.mtimeNanos,
    });
  }

  #symlink(dir: DirHandle): void {
    const member = this.#member;
    const length = member.linkEnd - member.linkStart;
    if (length === 0 || length > MAX_PATH_BYTES) {
      const entry = displayPath(this.#path.toBuffer());
      throw new LayerFormatError(`the layer has a symbolic link with an impossible target: ${entry}`, { entry });
    }
    this.#linkText.set(member.linkBytes.subarray(member.linkStart, member.linkEnd));
    this.#linkText[length] = 0;
    const name = this.#path.address + this.#path.nameStart;
    if (directSymlinkAt(this.#linkTextAddress, dir.fd, name) < 0) {
      this.#clear(dir, 'symlinkat');
      if (directSymlinkAt(this.#linkTextAddress, dir.fd, name) < 0)
        throw unpackError('symlinkat', this.#path.toBuffer());
    }
    this.#attributes.special(dir, name, member, this.#path);
  }

  #node(dir: DirHandle): void {
    const member = this.#member;
    const name = this.#path.address + this.#path.nameStart;
    const mode = FILE_TYPE_BITS[member.type]! | member.mode;
    const device = member.type === TYPE.fifo ? 0 : deviceNumber(member.devMajor, member.devMinor);
    if (directMknodAt(dir.fd, name, mode, device) < 0) {
      this.#clear(dir, 'mknodat');
      if (directMknodAt(dir.fd, name, mode, device) < 0) throw unpackError('mknodat', this.#path.toBuffer());
    }
    this.#attributes.special(dir, name, member, this.#path);
  }

  /** Called after `syscall` failed because the name exists: removes the file of that name. Throws for any other failure. */
  #clear(dir: DirHandle, syscall: string): void {
    const errno = lastErrno();
    if (errno !== 'EEXIST') throw unpackError(syscall, this.#path.toBuffer(), errno);
    this.#remove(dir);
  }

  #remove(dir: DirHandle): void {
    // The directory kept for hard links may be the one removed, or be reached through a removed link.
    this.#hardLinks.forget();
    removeTree(dir.fd, this.#path.bytes.subarray(this.#path.nameStart, this.#path.end));
  }

  #note(text: string): void {
    if (this.#notes.length < MAX_NOTES) this.#notes.push(text);
    else this.#moreNotes += 1;
  }
}

const DEFAULT_ACL = Buffer.from('system.posix_acl_default');

/** makedev(3), for the ranges that the reader accepts. */
function deviceNumber(major: number, minor: number): number {
  return major * 0x100 + (minor & 0xff) + Math.floor(minor / 0x100) * 0x10_0000;
}
