import { closeSync, constants } from 'node:fs';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LayerFormatError, SyscallError } from '../errors.js';
import { digestFrom, type DiffId } from '../spec/index.js';
import { displayPath, type FileStat } from '../sys/index.js';
import { COMPRESS_BLOCK } from './block-pool.js';
import { compress } from './compress.js';
import { joinPath, planLayer, type LayerChange, type PlannedEntry } from './pack-plan.js';
import { checkSame, PackTree, readExactly } from './pack-tree.js';
import { planTree } from './plan-tree.js';
import { TarBlocks } from './tar-blocks.js';
import { encodeHeader, paddingOf, TAR_BLOCK, type TarEntry } from './tar/writer.js';
import { WHITEOUT_PREFIX } from './whiteout.js';

export interface PackInput {
  /** Root of the layer below; undefined for a first layer. */
  readonly lower: string | undefined;
  /** Root of the tree to pack, preferably a read-only snapshot. */
  readonly upper: string;
  readonly changes: readonly LayerChange[];
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Level of zlib or zstd; see `CompressOptions`. */
  readonly level?: number;
  /** Upper limit for the modification times of changed entries. Seconds since 1970. */
  readonly sourceDateEpoch?: number;
  /** Apply the limit also to the parent directories of changes, because a build modified them at an arbitrary time. */
  readonly clampParents?: boolean;
  /** Receives the blob. Ended on success, destroyed with the error on failure. */
  readonly output: Writable;
  readonly signal: AbortSignal;
  /** Called after every block with the size of the tar so far. Bytes. */
  readonly onProgress?: (bytes: number) => void;
}

/** The layer that was written. The consumer of `output` hashes and counts the blob. */
export interface PackedLayer {
  readonly diffId: DiffId;
  /** Size of the uncompressed tar. Bytes. */
  readonly tarSize: number;
  readonly entries: number;
  /** Notes about omitted files (sockets), one line each. */
  readonly notes: readonly string[];
}

export interface PackTreeInput extends Pick<PackInput, 'output' | 'signal' | 'onProgress'> {
  /** Directory that contains the tree, preferably in a read-only snapshot. */
  readonly root: string;
  /** Name of the file or directory to pack; empty: everything in the root, as `.`. */
  readonly name: Buffer;
}

/**
 * Writes the changes as a layer in one pass, with constant memory for file data. The same trees give the same bytes.
 * Throws LayerFormatError (a file that a tar cannot contain, or one that changed while it was read), SyscallError
 * (vanished, unreadable), AbortError, UnsupportedMediaTypeError (zstd without libzstd). After an error, `output` is
 * destroyed and must not be published.
 */
export async function packLayer(input: PackInput): Promise<PackedLayer> {
  // Each change has at least a header.
  const large = input.changes.length * TAR_BLOCK > COMPRESS_BLOCK;
  return pack({ ...input, plan: () => planLayer(input.changes), large });
}

/**
 * Writes a tree as an ordinary tar without the rules for layers: all names are used unchanged. The bytes are those of a
 * layer of the same files. Memory is constant except for the names of parent directories and hard links. Other file
 * systems and subvolumes below appear as empty directories. Throws as `packLayer`.
 */
export async function packTree({ root, name, ...rest }: PackTreeInput): Promise<PackedLayer> {
  const plan = (tree: PackTree): Iterable<PlannedEntry> => planTree(tree, name);
  return pack({ ...rest, upper: root, lower: undefined, compression: 'none', plan, large: false });
}

/** The common form of both ways to pack. */
interface PackJob extends Omit<PackInput, 'changes'> {
  readonly plan: (upper: PackTree) => Iterable<PlannedEntry>;
  readonly large: boolean;
}

async function pack(input: PackJob): Promise<PackedLayer> {
  const packer = new Packer(input);
  try {
    const blob = compress(packer.run(), { ...input, pool: packer.blocks.pool });
    await pipeline(blob, input.output, { signal: input.signal });
    const { entries, blocks, notes } = packer;
    // Not after a failure: a block may still be written to.
    blocks.close();
    return { diffId: digestFrom(blocks.hash) as DiffId, tarSize: blocks.size, entries, notes };
  } catch (error) {
    if (!input.output.destroyed) input.output.destroy(error as Error);
    throw error;
  } finally {
    packer.close();
  }
}

/** Converts the plan into blocks of tar. */
class Packer {
  readonly notes: string[] = [];
  entries = 0;
  readonly blocks: TarBlocks;
  readonly #input: PackJob;
  readonly #upper: PackTree;
  readonly #lower: PackTree | undefined;
  /** The first packed path of each group of hard links. */
  readonly #links = new Map<string, Buffer>();

  constructor(input: PackJob) {
    this.#input = input;
    this.blocks = new TarBlocks(input.compression, input.onProgress);
    this.#upper = new PackTree(input.upper);
    try {
      this.#lower = input.lower === undefined ? undefined : new PackTree(input.lower);
    } catch (error) {
      this.#upper.close();
      throw error;
    }
  }

  close(): void {
    this.#upper.close();
    this.#lower?.close();
  }

  *run(): Generator<Buffer> {
    for (const planned of this.#input.plan(this.#upper)) {
      if (planned.action === 'whiteout') {
        yield* this.blocks.write(whiteout(planned));
        this.entries++;
      } else yield* named(this.#entry(planned), planned);
    }
    yield* this.blocks.write(Buffer.alloc(2 * TAR_BLOCK));
    yield* this.blocks.end();
  }

  *#entry(planned: PlannedEntry): Generator<Buffer> {
    const { parent, name } = planned;
    const stat = planned.stat ?? this.#upper.stat(parent, name);
    const type = stat.mode & constants.S_IFMT;
    const path = joinPath(parent, name);
    if (type === constants.S_IFSOCK) {
      this.notes.push(`socket ${displayPath(path)} left out: layers cannot contain sockets`);
      return;
    }
    if (planned.changed && this.#replacesDirectory(planned, type)) yield* this.blocks.write(whiteout(planned));
    const head = this.#describe(planned, stat, path);
    yield* this.blocks.write(encodeHeader(head));
    this.entries++;
    if (head.type !== '0') return;
    const fd = this.#upper.openFile(parent, name, { seen: stat, path });
    try {
      yield* this.#copy(fd, head.size, path);
      checkSame(fd, stat, path);
    } finally {
      closeSync(fd);
    }
    yield* this.blocks.write(Buffer.alloc(paddingOf(head.size)));
  }

  /** Some appliers replace a directory with another file type, or the reverse, only after an explicit whiteout. */
  #replacesDirectory({ parent, name }: PlannedEntry, type: number): boolean {
    if (this.#lower === undefined || name.length === 0) return false;
    const before = this.#lower.typeOf(parent, name);
    return before !== undefined && before !== type && (before === constants.S_IFDIR || type === constants.S_IFDIR);
  }

  #describe({ parent, name, changed }: PlannedEntry, stat: FileStat, path: Buffer): TarEntry {
    const type = stat.mode & constants.S_IFMT;
    const epoch = this.#input.sourceDateEpoch;
    const keeps = !changed && this.#input.clampParents !== true;
    const newest = epoch === undefined || keeps ? stat.mtimeNs : BigInt(epoch) * 1_000_000_000n;
    const base = {
      name: type === constants.S_IFDIR ? Buffer.concat([path, Buffer.from('/')]) : path,
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: 0,
      mtimeNs: stat.mtimeNs < newest ? stat.mtimeNs : newest,
    };
    if (type !== constants.S_IFDIR && stat.nlink > 1) {
      const key = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
      const first = this.#links.get(key);
      if (first !== undefined) return { ...base, type: '1', linkName: first };
      this.#links.set(key, path);
    }
    const full = { ...base, xattrs: this.#upper.xattrs(parent, name) };
    switch (type) {
      case constants.S_IFREG:
        return { ...full, type: '0', size: Number(stat.size) };
      case constants.S_IFLNK:
        return { ...full, type: '2', linkName: this.#upper.linkTarget(parent, name) };
      case constants.S_IFDIR:
        return { ...full, type: '5' };
      case constants.S_IFIFO:
        return { ...full, type: '6' };
      case constants.S_IFCHR:
      case constants.S_IFBLK:
        return {
          ...full,
          type: type === constants.S_IFCHR ? '3' : '4',
          major: stat.rdevMajor,
          minor: stat.rdevMinor,
        };
      default:
        throw new LayerFormatError(`${displayPath(path)} has a type that a tar cannot contain`, {
          entry: displayPath(path),
        });
    }
  }

  *#copy(fd: number, size: number, path: Buffer): Generator<Buffer> {
    for (let done = 0; done < size;) {
      const room = this.blocks.room(size - done);
      readExactly(fd, room, done, path);
      done += room.length;
      yield* this.blocks.filled(room.length);
    }
  }
}

/** Adds the whole path to errors, because system calls see only names in a directory. */
function* named(entry: Iterable<Buffer>, { parent, name }: PlannedEntry): Generator<Buffer> {
  try {
    yield* entry;
  } catch (error) {
    const path = displayPath(joinPath(parent, name));
    if (!(error instanceof SyscallError) || error.path === path) throw error;
    const { errno, syscall } = error;
    throw new SyscallError(`cannot read /${path}: ${error.message}`, { errno, syscall, path, cause: error });
  }
}

function whiteout({ parent, name }: PlannedEntry): Buffer {
  const path = joinPath(parent, Buffer.concat([Buffer.from(WHITEOUT_PREFIX), name]));
  return encodeHeader({ name: path, type: '0', mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n });
}
