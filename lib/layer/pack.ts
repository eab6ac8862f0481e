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

/** What to pack and where to. */
export interface PackInput {
  /** Root of the layer below; undefined for a first layer. */
  readonly lower: string | undefined;
  /** Root of the tree that is packed; best a read-only snapshot. */
  readonly upper: string;
  readonly changes: readonly LayerChange[];
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Level of zlib or zstd; see `CompressOptions`. */
  readonly level?: number;
  /** Seconds since 1970 that no changed entry is newer than. */
  readonly sourceDateEpoch?: number;
  /** Whether that holds for the directories that changes lie in, too: a build wrote into them at some time. */
  readonly clampParents?: boolean;
  /** Takes the blob; ended on success, destroyed with the error on failure. */
  readonly output: Writable;
  readonly signal: AbortSignal;
  /** Called after every block with the bytes of tar so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** The layer that was written; the consumer of `output` hashes and counts the blob. */
export interface PackedLayer {
  readonly diffId: DiffId;
  /** Bytes of the uncompressed tar. */
  readonly tarSize: number;
  readonly entries: number;
  /** Things that were left out on purpose (sockets), one line each. */
  readonly notes: readonly string[];
}

/** What to write as a plain tar. */
export interface PackTreeInput extends Pick<PackInput, 'output' | 'signal' | 'onProgress'> {
  /** Directory that the tree lies in; best in a read-only snapshot. */
  readonly root: string;
  /** Name of the file or directory to pack; empty: everything in the root, which is called `.`. */
  readonly name: Buffer;
}

/**
 * Writes the changes as a layer in one pass, in constant memory for file data; same trees give the same bytes. Throws
 * LayerFormatError (no form in a tar, changed while read), SyscallError (vanished, unreadable), AbortError: `output` is
 * then destroyed and must not be published. UnsupportedMediaTypeError: zstd without libzstd.
 */
export async function packLayer(input: PackInput): Promise<PackedLayer> {
  // Each change has a header at least.
  const large = input.changes.length * TAR_BLOCK > COMPRESS_BLOCK;
  return pack({ ...input, plan: () => planLayer(input.changes), large });
}

/**
 * Writes a tree as a tar that is no layer: all names are taken as they are. In constant memory, but for the names of the
 * directories on the way and the hard links. The bytes are those of a layer of the same files. Other file systems and
 * subvolumes below count as empty directories. Throws as `packLayer`.
 */
export async function packTree({ root, name, ...rest }: PackTreeInput): Promise<PackedLayer> {
  const plan = (tree: PackTree): Iterable<PlannedEntry> => planTree(tree, name);
  return pack({ ...rest, upper: root, lower: undefined, compression: 'none', plan, large: false });
}

/** What both ways of packing come to. */
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

/** Turns the plan into blocks of tar. */
class Packer {
  readonly notes: string[] = [];
  entries = 0;
  readonly blocks: TarBlocks;
  readonly #input: PackJob;
  readonly #upper: PackTree;
  readonly #lower: PackTree | undefined;
  /** First path of each group of hard links that went into the layer. */
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
      this.notes.push(`socket ${displayPath(path)} left out: layers hold no sockets`);
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

  /** Not every applier replaces a directory by something else, or the reverse, without being told. */
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
        throw new LayerFormatError(`${displayPath(path)} is of a type that has no form in a tar`, {
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

/** What failed at an entry says its whole path: calls know names in a directory only. */
function* named(entry: Iterable<Buffer>, { parent, name }: PlannedEntry): Generator<Buffer> {
  try {
    yield* entry;
  } catch (error) {
    const path = displayPath(joinPath(parent, name));
    if (!(error instanceof SyscallError) || error.path === path) throw error;
    const { errno, syscall } = error;
    throw new SyscallError(`/${path} cannot be read: ${error.message}`, { errno, syscall, path, cause: error });
  }
}

function whiteout({ parent, name }: PlannedEntry): Buffer {
  const path = joinPath(parent, Buffer.concat([Buffer.from(WHITEOUT_PREFIX), name]));
  return encodeHeader({ name: path, type: '0', mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n });
}
