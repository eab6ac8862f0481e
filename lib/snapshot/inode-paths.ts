import { toByteString, type ByteString } from '../rootfs/index.js';
import { inodeNames, SUBVOLUME_ROOT_INODE } from '../sys/index.js';
import { SendSurprise } from './send/stream.js';

/** Finds the paths of inodes in a read-only subvolume, relative to its root, with a slash before each name. */
export class InodePaths {
  readonly #fd: number;
  readonly #directories = new Map<bigint, ByteString>([[SUBVOLUME_ROOT_INODE, '']]);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** All paths of an inode other than the root; none when it has been deleted. Throws SyscallError. */
  of(ino: bigint): ByteString[] {
    return inodeNames(this.#fd, ino).map(
      ({ directory, name }) => `${this.#directory(directory)}/${toByteString(name)}`,
    );
  }

  #directory(ino: bigint): ByteString {
    const known = this.#directories.get(ino);
    if (known !== undefined) return known;
    const [path] = this.of(ino);
    if (path === undefined) throw new SendSurprise('a directory without a name');
    this.#directories.set(ino, path);
    return path;
  }
}
