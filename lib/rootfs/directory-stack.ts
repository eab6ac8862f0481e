import { closeSync } from 'node:fs';
import { SyscallError } from '../errors.js';
import { OPEN_DIRECTORY, openAt, statAt, type FileStat } from '../sys/index.js';
import { fromByteString, type ByteString } from './byte-path.js';

/** The most open descriptors along the path; in deeper trees, ancestors are closed and opened again. */
const KEPT_OPEN = 64;
const PARKED = -1;

interface Level {
  fd: number;
  readonly stat: FileStat;
}

/**
 * The directories from a root down to the current one, each opened relative to its parent. Paths in system calls are
 * never longer than one name, so any depth works, and nothing outside the root is reached.
 */
export class DirectoryStack {
  readonly #levels: Level[] = [];

  /** `root`: an open directory, which the stack closes in the end. */
  constructor(root: number) {
    this.#levels.push({ fd: root, stat: statAt(root, '') });
  }

  /** Descriptor of the current directory. */
  get fd(): number {
    return this.#top().fd;
  }

  get depth(): number {
    return this.#levels.length;
  }

  /** Status of the current directory when it was entered. */
  get stat(): FileStat {
    return this.#top().stat;
  }

  /**
   * Enters the directory `name` with status `stat`; `''` enters nothing. Throws SyscallError, also when it is a
   * different directory now.
   */
  enter(name: ByteString, stat: FileStat): void {
    const fd = openAt(this.fd, fromByteString(name), OPEN_DIRECTORY);
    try {
      checkSame(fd, stat);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#levels.push({ fd, stat });
    const far = this.#levels[this.#levels.length - 1 - KEPT_OPEN];
    if (far !== undefined) park(far);
  }

  /** Returns to the parent directory. */
  leave(): void {
    const child = this.#levels.pop();
    const parent = this.#levels.at(-1);
    if (child === undefined || parent === undefined) throw new TypeError('cannot leave the root');
    try {
      if (parent.fd !== PARKED) return;
      // Safe with `..`, because the result must be the directory we came from.
      parent.fd = openAt(child.fd, '..', OPEN_DIRECTORY);
      checkSame(parent.fd, parent.stat);
    } finally {
      park(child);
    }
  }

  /** Closes all descriptors. */
  close(): void {
    this.#levels.splice(0).forEach(park);
  }

  #top(): Level {
    const top = this.#levels.at(-1);
    if (top === undefined) throw new TypeError('the stack is closed');
    return top;
  }
}

function park(level: Level): void {
  if (level.fd !== PARKED) closeSync(level.fd);
  level.fd = PARKED;
}

function checkSame(fd: number, expected: FileStat): void {
  const stat = statAt(fd, '');
  if (stat.ino === expected.ino && stat.devMajor === expected.devMajor && stat.devMinor === expected.devMinor) return;
  throw new SyscallError('a directory was moved while it was being read', { errno: 'ESTALE', syscall: 'openat' });
}
