import { appendFileSync, closeSync, constants, readFileSync } from 'node:fs';
import { ContainerStartError } from '../errors.js';
import { openParent, resolveInRoot, type ResolvedPath, type ResolveOptions } from '../rootfs/index.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  chmodFd,
  isErrno,
  mkdirAt,
  openAt,
  OPEN_DIRECTORY,
  setTimesAt,
  statAt,
  statAtIfThere,
  unlinkAt,
} from '../sys/index.js';

/** Where something is mounted: absolute path in the container. */
export interface MountPoint {
  readonly path: string;
  readonly kind: 'directory' | 'file';
  /** The path must have no links; otherwise they are followed inside the root. */
  readonly isReal: boolean;
}

/** Something made to be mounted on. */
export interface MadeEntry {
  readonly kind: MountPoint['kind'];
  /** Path from the root. */
  readonly path: Buffer;
  /** Time of the directory it is in, before. */
  readonly parentMtimeNs: bigint;
}

/** What was made to be mounted on. */
export interface MountJournal {
  /** In the order of making; never empty. */
  readonly made: readonly MadeEntry[];
  /** All was made that had to be. */
  readonly done: boolean;
}

const { S_IFMT, S_IFREG, S_IFDIR, O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
const DONE = 'done';

/**
 * Makes what is missing of the mount points in `root`, so that the runtime makes nothing itself, and returns where each
 * path leads: every component of that is a real directory of `root`, so a runtime that follows links meets none. Each
 * entry is written down in the file `journal` before it is made; times of directories stay as they are. Throws
 * ContainerStartError (nothing can be mounted there), SyscallError.
 */
export function makeMountPoints(root: string, points: readonly MountPoint[], journal: string): Map<string, string> {
  const rootFd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    const places = new Map(points.map((point) => [point.path, makeMountPoint(rootFd, point, journal)]));
    appendFileSync(journal, `${DONE}\n`);
    return places;
  } finally {
    closeSync(rootFd);
  }
}

function makeMountPoint(root: number, { path, kind, isReal }: MountPoint, journal: string): string {
  const make = (dir: number, name: Buffer, at: Buffer, as: MountPoint['kind']): void => {
    const { mtimeNs } = statAt(dir, '');
    appendFileSync(journal, `${as} ${mtimeNs} ${at.toString('hex')}\n`);
    if (as === 'directory') mkdirAt(dir, name, 0o755);
    const flags = as === 'directory' ? OPEN_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const fd = openAt(dir, name, flags, 0o644);
    try {
      // The user's umask says nothing about the container's users.
      chmodFd(fd, as === 'directory' ? 0o755 : 0o644);
    } finally {
      closeSync(fd);
    }
    setTimesAt(dir, '.', mtimeNs);
  };
  const found = resolvePoint(root, path, (missing) => make(missing.dir, missing.name, missing.path, 'directory'));
  try {
    const place = `/${found.path.toString()}`;
    if (isReal && place !== path) throw cannotMountError(path, 'it is a symbolic link');
    // A name that is no text would lead the runtime to another place.
    if (!Buffer.from(place.slice(1)).equals(found.path)) throw cannotMountError(path, 'a link leads to an odd name');
    if (found.stat === undefined) make(found.dir, found.name, found.path, kind);
    else if (((found.stat.mode & S_IFMT) === S_IFDIR) !== (kind === 'directory'))
      throw cannotMountError(path, kind === 'directory' ? 'it is not a directory' : 'it is a directory');
    return place;
  } finally {
    closeSync(found.dir);
  }
}

function resolvePoint(
  root: number,
  path: string,
  makeDirectory: NonNullable<ResolveOptions['makeDirectory']>,
): ResolvedPath {
  try {
    return resolveInRoot(root, Buffer.from(path), { makeDirectory });
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG')) throw cannotMountError(path, (error as Error).message);
    throw error;
  }
}

/** The error for a path of the container where nothing can be mounted safely. */
export function cannotMountError(path: string, why: string): ContainerStartError {
  return new ContainerStartError(`nothing can be mounted at ${path} in the container: ${why}`, {
    hint: 'put a plain directory or file there: "imgtool mount CONTAINER" prints where the files of a container are',
  });
}

/**
 * Removes from `root`, or a copy of it, what `makeMountPoints` made and nobody has used since. Times of directories stay as
 * they are. Throws SyscallError.
 */
export function removeMountPoints(root: string, { made, done }: MountJournal): void {
  const rootFd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    for (const entry of [...made].reverse()) removeEntry(rootFd, entry, done);
  } finally {
    closeSync(rootFd);
  }
}

function removeEntry(root: number, { kind, path, parentMtimeNs }: MadeEntry, done: boolean): void {
  try {
    const { dir, name } = openParent(root, path);
    try {
      const { mtimeNs } = statAt(dir, '');
      if (kind === 'directory') {
        unlinkAt(dir, name, AT_REMOVEDIR);
      } else {
        const stat = statAtIfThere(dir, name);
        if (stat === undefined || (stat.mode & S_IFMT) !== S_IFREG || stat.size > 0n) return;
        unlinkAt(dir, name);
      }
      // Not done: the process died perhaps between making it and giving the directory its time back.
      setTimesAt(dir, '.', done ? mtimeNs : parentMtimeNs);
    } finally {
      closeSync(dir);
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}

/** What the file `journal` says; undefined when it says nothing or is not there. */
export function readMountJournal(journal: string): MountJournal | undefined {
  const lines = readIfThere(journal).split('\n');
  const made = lines.flatMap((line) => {
    const match = /^(directory|file) (-?\d+) ((?:[0-9a-f]{2})+)$/.exec(line);
    return match === null
      ? []
      : [
          {
            kind: match[1] as MountPoint['kind'],
            path: Buffer.from(match[3]!, 'hex'),
            parentMtimeNs: BigInt(match[2]!),
          },
        ];
  });
  return made.length === 0 ? undefined : { made, done: lines.includes(DONE) };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // The run that ends meanwhile takes it away.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
