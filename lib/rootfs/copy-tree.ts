import { randomBytes } from 'node:crypto';
import { closeSync, constants } from 'node:fs';
import { UsageError } from '../errors.js';
import {
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  displayPath,
  fdPath,
  isErrno,
  linkAt,
  mkdirAt,
  mknodAt,
  O_TMPFILE,
  openAt,
  OPEN_DIRECTORY,
  renameAt,
  statAt,
  statAtIfThere,
  symlinkAt,
  unlinkAt,
  type FileStat,
} from '../sys/index.js';
import { fromByteString, toByteString, type ByteString } from './byte-path.js';
import { setDirectoryAttributes, setFileAttributes, setSpecialAttributes, type OnRefused } from './copy-attributes.js';
import { copyContent } from './copy-content.js';
import { DirectoryStack } from './directory-stack.js';
import { entryType } from './entry-type.js';
import { openParent } from './open-parent.js';
import { openRegular, type TreeEntry } from './open-regular.js';
import { readMetadata, type Metadata } from './read-metadata.js';
import { listNames } from './remove-tree.js';
import { openLinkedDirectory, tooManyLinksError, type LinkedDirectory, type PlaceInRoot } from './linked-directory.js';
import { inodeKey } from './same-inode.js';

const { S_IFMT, S_IFDIR, O_NOFOLLOW, O_WRONLY, O_CREAT, O_EXCL } = constants;

/** The most links to directories to follow one after another; each holds a directory open. */
const MAX_LINKS = 40;

export interface CopyOptions {
  /** Create devices; otherwise they are omitted. */
  readonly devices: boolean;
  /** Create sockets; otherwise they are omitted. */
  readonly sockets?: boolean;
  /**
   * The source is an unpacked tar. Its directories dated 1970 were only implied by the tar: existing directories are
   * then left unchanged. A link to a directory counts as the directory (`lib` on systems with merged `/usr`).
   */
  readonly fromTar: boolean;
  /** Receives one line for each omission. */
  readonly onNote: (line: string) => void;
}

export interface CopyTotals {
  readonly entries: number;
  /** Size of the copied file contents. Bytes. */
  readonly bytes: number;
}

/**
 * Copies trees with owners, modes, times, attributes and hard links. Below the two given places it follows no link on
 * either side, regardless of concurrent changes (with `fromTar`: only links inside the root). A file replaces an
 * existing file that is not a directory. Files that share an inode within one copier share one in the copy. For one
 * use; nothing to close.
 */
export class TreeCopier {
  readonly #options: CopyOptions;
  /** The first copy of each inode with several names: its path below the first place, and its status. */
  readonly #links = new Map<string, { readonly path: ByteString; readonly stat: FileStat }>();
  readonly #noted = new Set<string>();
  #entries = 0;
  #bytes = 0;
  #rootInode = '';
  #linksOnTheWay = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  get totals(): CopyTotals {
    return { entries: this.#entries, bytes: this.#bytes };
  }

  /**
   * Copies a file that is not a directory. A generator, so that the caller can do other work between steps. Throws
   * SyscallError, UsageError.
   */
  *leaf(from: TreeEntry, to: TreeEntry): Generator<void, void> {
    yield* this.#leaf(from, { ...to, path: toByteString(to.name), top: to.dir });
  }

  /**
   * Copies the entries of the open directory `from` into the open directory `to`, which may already have some. Both
   * stay open, and `to` keeps its own attributes. `place`: the location of `to`, required for following links. Throws
   * SyscallError, UsageError.
   */
  *entriesOf(from: number, to: number, place: PlaceInRoot = { root: to, path: '' }): Generator<void, void> {
    this.#rootInode = inodeKey(statAt(to, ''));
    this.#refuseLoop(statAt(from, ''));
    const source = new DirectoryStack(openAt(from, '.', OPEN_DIRECTORY));
    try {
      const target = new DirectoryStack(openAt(to, '.', OPEN_DIRECTORY));
      try {
        yield* this.#walk(source, target, place);
      } finally {
        target.close();
      }
    } finally {
      source.close();
    }
  }

  *#walk(source: DirectoryStack, target: DirectoryStack, place: PlaceInRoot): Generator<void, void> {
    const top = place.root;
    const levels: { names: Buffer[]; path: ByteString; metadata?: Metadata; keep: boolean }[] = [
      { names: listNames(source.fd), path: place.path, keep: true },
    ];
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      yield;
      const name = level.names.pop();
      if (name === undefined) {
        levels.pop();
        if (level.metadata === undefined) continue;
        if (!level.keep) setDirectoryAttributes(target.fd, this.#dated(level.metadata), this.noteRefused);
        target.leave();
        source.leave();
        continue;
      }
      const stat = statAtIfThere(source.fd, name);
      if (stat === undefined) continue;
      const path = `${level.path}${level.path === '' ? '' : '/'}${toByteString(name)}`;
      if ((stat.mode & S_IFMT) !== S_IFDIR) {
        yield* this.#leaf({ dir: source.fd, name }, { dir: target.fd, name, path, top });
        continue;
      }
      this.#refuseLoop(stat);
      const metadata = readMetadata(source.fd, name);
      source.enter(toByteString(name), stat);
      const linked = this.#options.fromTar ? openLinkedDirectory(target.fd, name, { root: top, path }) : undefined;
      if (linked !== undefined) {
        yield* this.#throughLink(source, metadata, linked);
        source.leave();
        continue;
      }
      const made = makeDirectory(target.fd, name);
      target.enter(toByteString(name), statAt(target.fd, name));
      this.#entries += 1;
      const keep = !made && this.#options.fromTar && isImplied(metadata);
      levels.push({ names: listNames(source.fd), path, metadata, keep });
    }
  }

  /** Copies the current directory of `source` into the directory to which a link in its place leads. Closes `linked`. */
  *#throughLink(source: DirectoryStack, metadata: Metadata, linked: LinkedDirectory): Generator<void, void> {
    const target = new DirectoryStack(linked.fd);
    try {
      if ((this.#linksOnTheWay += 1) > MAX_LINKS) throw tooManyLinksError(linked.place.path);
      this.#entries += 1;
      yield* this.#walk(source, target, linked.place);
      if (!isImplied(metadata)) setDirectoryAttributes(target.fd, metadata, this.noteRefused);
      this.#linksOnTheWay -= 1;
    } finally {
      target.close();
    }
  }

  /** Directories that a tar only implied get the current time. */
  #dated(metadata: Metadata): Metadata {
    if (!this.#options.fromTar || !isImplied(metadata)) return metadata;
    return { ...metadata, stat: { ...metadata.stat, mtimeNs: BigInt(Date.now()) * 1_000_000n } };
  }

  /** A copy into itself would never end. */
  #refuseLoop(stat: FileStat): void {
    if (inodeKey(stat) === this.#rootInode)
      throw new UsageError('a directory cannot be copied into itself', { hint: 'choose another destination' });
  }

  *#leaf(from: TreeEntry, to: TreeEntry & { readonly path: ByteString; readonly top: number }): Generator<void, void> {
    const there = statAtIfThere(to.dir, to.name);
    if (there !== undefined && (there.mode & S_IFMT) === S_IFDIR)
      throw new UsageError(`${displayPath(to.name)} is a directory at the destination, but not at the source`, {
        hint: 'remove it first, or choose another destination',
      });
    const metadata = readMetadata(from.dir, from.name);
    const { type, stat } = metadata;
    const isDevice = type === 'character-device' || type === 'block-device';
    if ((type === 'socket' && this.#options.sockets !== true) || (isDevice && !this.#options.devices)) {
      this.#options.onNote(`${type} ${displayPath(to.name)} left out`);
      return;
    }
    // Written under a temporary name first, so that an existing file is replaced completely or stays, and no link is followed.
    const temporary = Buffer.from(`.imgtool-${randomBytes(8).toString('hex')}`);
    try {
      if (!this.#link(stat, to, temporary)) {
        if (type === 'file') yield* this.#file(from, { dir: to.dir, name: temporary }, metadata);
        else this.#special({ dir: to.dir, name: temporary }, metadata);
        if (stat.nlink > 1) this.#links.set(inodeKey(stat), { path: to.path, stat: statAt(to.dir, temporary) });
      }
      renameAt(to.dir, temporary, to.dir, to.name);
      this.#entries += 1;
    } finally {
      // Still exists after a failure, and when it is a link to the file of that name.
      unlinkIfThere(to.dir, temporary);
    }
  }

  /** Makes `temporary` a hard link to an earlier copy of the same inode. Returns false when there is none or linking fails. */
  #link(stat: FileStat, { dir, top }: { readonly dir: number; readonly top: number }, temporary: Buffer): boolean {
    const first = stat.nlink > 1 ? this.#links.get(inodeKey(stat)) : undefined;
    if (first === undefined) return false;
    try {
      const parent = openParent(top, fromByteString(first.path));
      try {
        linkAt(parent.dir, parent.name, dir, temporary);
      } finally {
        closeSync(parent.dir);
      }
    } catch (error) {
      if (isErrno(error, 'EMLINK', 'EXDEV', 'ENOENT', 'ENOTDIR', 'ELOOP', 'EPERM')) return false;
      throw error;
    }
    if (inodeKey(statAt(dir, temporary)) === inodeKey(first.stat)) return true;
    unlinkAt(dir, temporary);
    return false;
  }

  *#file(from: TreeEntry, to: TreeEntry, metadata: Metadata): Generator<void, void> {
    const source = openRegular(from, metadata.stat);
    try {
      const unnamed = openUnnamed(to.dir);
      const target = unnamed ?? openAt(to.dir, to.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        yield* copyContent(source, target, metadata.stat.size);
        if (unnamed !== undefined) linkAt(AT_FDCWD, fdPath(unnamed), to.dir, to.name, AT_SYMLINK_FOLLOW);
        setFileAttributes({ fd: target, ...to }, metadata, this.noteRefused);
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(source);
    }
    this.#bytes += Number(metadata.stat.size);
  }

  #special({ dir, name }: TreeEntry, metadata: Metadata): void {
    const { stat, target } = metadata;
    if (target !== undefined) symlinkAt(target, dir, name);
    else mknodAt(dir, name, (stat.mode & S_IFMT) | 0o600, stat.rdevMajor, stat.rdevMinor);
    setSpecialAttributes(dir, name, metadata, this.noteRefused);
  }

  /** Notes an attribute that could not be copied, once. */
  readonly noteRefused: OnRefused = (attribute) => {
    if (this.#noted.has(attribute)) return;
    this.#noted.add(attribute);
    this.#options.onNote(
      `attribute ${displayPath(fromByteString(attribute))} left out: not supported at the destination`,
    );
  };
}

/** An unnamed file until the copy is complete, so that a killed process leaves nothing behind. Undefined where unsupported. */
function openUnnamed(dir: number): number | undefined {
  try {
    return openAt(dir, '.', O_WRONLY | O_TMPFILE, 0o600);
  } catch (error) {
    if (isErrno(error, 'ENOTSUP', 'EISDIR', 'ENOENT', 'EINVAL')) return undefined;
    throw error;
  }
}

function isImplied({ stat }: Metadata): boolean {
  return stat.mtimeNs === 0n;
}

/** Returns false when the directory exists. */
function makeDirectory(dir: number, name: Uint8Array): boolean {
  try {
    mkdirAt(dir, name, 0o700);
    return true;
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    const type = entryType(statAt(dir, name).mode);
    if (type === 'directory') return false;
    throw new UsageError(`${displayPath(name)} is a ${type} at the destination, but a directory at the source`, {
      hint: 'remove it first, or choose another destination',
    });
  }
}

function unlinkIfThere(dir: number, name: Uint8Array): void {
  try {
    unlinkAt(dir, name);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
