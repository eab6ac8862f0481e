import { closeSync, constants } from 'node:fs';
import { SyscallError } from '../errors.js';
import { displayPath, O_PATH, openAt, readlinkAt, statAtIfThere, type FileStat } from '../sys/index.js';
import { fromByteString, pathComponents, toByteString, type ByteString } from './byte-path.js';

const { S_IFMT, S_IFDIR, S_IFLNK, O_DIRECTORY, O_NOFOLLOW } = constants;
/** The kernel's limit of links in one path (path_resolution(7)). */
const MAX_LINKS = 40;

/** A path inside a root, with all links resolved. */
export interface ResolvedPath {
  /** The open parent directory; the caller closes it. */
  readonly dir: number;
  /** Last component; empty for the root itself, in which case `dir` is the root. */
  readonly name: Buffer;
  /** Link-free path from the root, without leading and trailing slash. */
  readonly path: Buffer;
  /** Its status; undefined when it does not exist. A link only with `keepLastLink`. */
  readonly stat: FileStat | undefined;
}

/** How to resolve a path. */
export interface ResolveOptions {
  /** Do not follow a link that is the last component, but return it. */
  readonly keepLastLink?: boolean;
  /** Creates a missing parent directory; `path` is relative to the root. Without it, a missing parent is an error. */
  readonly makeDirectory?: (missing: { readonly dir: number; readonly name: Buffer; readonly path: Buffer }) => void;
}

/**
 * Resolves `path` inside the directory `root`, component by component through open descriptors. Absolute links start at
 * the root and `..` stops there, regardless of concurrent renames (CVE-2018-15664, CVE-2024-1753). The last component
 * need not exist. Throws SyscallError.
 */
export function resolveInRoot(root: number, path: Uint8Array, options: ResolveOptions = {}): ResolvedPath {
  const walk = new Walk(root);
  try {
    return walk.follow(path, options);
  } finally {
    walk.close();
  }
}

class Walk {
  readonly #levels: { readonly fd: number; readonly name: ByteString }[];

  constructor(root: number) {
    this.#levels = [{ fd: openAt(root, '.', O_PATH | O_DIRECTORY), name: '' }];
  }

  follow(given: Uint8Array, options: ResolveOptions): ResolvedPath {
    const pending = pathComponents(toByteString(given)).reverse();
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '..') {
        if (this.#levels.length > 1) this.#leave();
        continue;
      }
      const dir = this.#levels.at(-1)!.fd;
      let stat = statAtIfThere(dir, fromByteString(name));
      if (stat === undefined && pending.length > 0 && options.makeDirectory !== undefined) {
        options.makeDirectory({ dir, name: fromByteString(name), path: fromByteString(this.#path(name)) });
        stat = statAtIfThere(dir, fromByteString(name));
      }
      const type = stat === undefined ? undefined : stat.mode & S_IFMT;
      if (type === S_IFLNK && !(options.keepLastLink === true && pending.length === 0)) {
        if ((links += 1) > MAX_LINKS) throw resolveError('ELOOP', 'too many symbolic links', given);
        const target = toByteString(readlinkAt(dir, fromByteString(name)));
        while (target.startsWith('/') && this.#levels.length > 1) this.#leave();
        pending.push(...pathComponents(target).reverse());
      } else if (type === S_IFDIR) {
        this.#levels.push({ fd: openAt(dir, fromByteString(name), O_PATH | O_DIRECTORY | O_NOFOLLOW), name });
      } else if (pending.length > 0) {
        if (stat === undefined) throw resolveError('ENOENT', 'no such file or directory', given);
        throw resolveError('ENOTDIR', `${displayPath(fromByteString(this.#path(name)))} is not a directory`, given);
      } else {
        return this.#result(this.#levels.at(-1)!.fd, name, stat);
      }
    }
    const last = this.#levels.at(-1)!;
    if (this.#levels.length > 1) this.#levels.pop();
    try {
      const stat = statAtIfThere(last.fd, '');
      return this.#result(this.#levels.at(-1)!.fd, last.name, stat);
    } finally {
      if (this.#levels.at(-1) !== last) closeSync(last.fd);
    }
  }

  close(): void {
    while (this.#levels.length > 0) this.#leave();
  }

  #leave(): void {
    closeSync(this.#levels.pop()!.fd);
  }

  #path(name: ByteString): ByteString {
    return [...this.#levels.slice(1).map((level) => level.name), name].filter((part) => part !== '').join('/');
  }

  #result(dir: number, name: ByteString, stat: FileStat | undefined): ResolvedPath {
    return {
      dir: openAt(dir, '.', O_PATH | O_DIRECTORY),
      name: fromByteString(name),
      path: fromByteString(this.#path(name)),
      stat,
    };
  }
}

function resolveError(errno: string, why: string, path: Uint8Array): SyscallError {
  return new SyscallError(`${displayPath(path)}: ${why}`, { errno, syscall: 'openat', path: displayPath(path) });
}
