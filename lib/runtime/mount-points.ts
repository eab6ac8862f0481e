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

/** A mount point, as an absolute path in the container. */
export interface MountPoint {
  readonly path: string;
  readonly kind: 'directory' | 'file';
  /** The path must not contain links; otherwise links are resolved inside the root. */
  readonly isReal: boolean;
}

/** A file or directory created as a mount point. */
interface MadeEntry {
  readonly kind: MountPoint['kind'];
  /** Path from the root. */
  readonly path: Buffer;
  /** Modification time of its parent directory before. */
  readonly parentMtimeNs: bigint;
}

/** The entries created as mount points. */
export interface MountJournal {
  /** In order of creation; never empty. */
  readonly made: readonly MadeEntry[];
  /** All required entries were created. */
  readonly done: boolean;
}

const { S_IFMT, S_IFREG, S_IFDIR, O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
const DONE = 'done';

/**
 * Creates the missing mount points in `root`, so that the runtime creates nothing itself, and returns the resolved path
 * of each. Every component of those is a real directory of `root`, so a runtime that follows links meets none. Records
 * each entry in the file `journal` before creating it, and preserves the times of directories. Throws
 * ContainerStartError (an unsuitable path), SyscallError.
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
      // Independent of the umask, which does not concern the container's users.
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
    // For a name that is not valid UTF-8, the runtime would use another path.
    if (!Buffer.from(place.slice(1)).equals(found.path))
      throw cannotMountError(path, 'a link leads to a name that is not valid UTF-8');
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

/** The error for a path in the container where nothing can be mounted safely. */
export function cannotMountError(path: string, why: string): ContainerStartError {
  return new ContainerStartError(`nothing can be mounted at ${path} in the container: ${why}`, {
    hint: 'replace it with a plain directory or file; "imgtool mount CONTAINER" prints the location of the files of a container',
  });
}

/**
 * Removes the entries created by `makeMountPoints` and unused since from `root` or a copy of it. Preserves the times of
 * directories. Throws SyscallError.
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
      // If not done, the process may have died between creating the entry and restoring the directory's time.
      setTimesAt(dir, '.', done ? mtimeNs : parentMtimeNs);
    } finally {
      closeSync(dir);
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}

/** Parses the file `journal`; undefined when it is missing or empty. */
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
    // A run that ends at the same time removes it.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
