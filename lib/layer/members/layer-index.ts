import { fstatSync, readSync } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import { comparePaths, FOOTER_BYTES, parseEntry, type IndexEntry, type IndexFooter } from './entry.js';

/** Number of blocks kept in memory. */
const KEPT_BLOCKS = 64;
/** The smallest byte that a name can contain. Appended to a name, it sorts after everything below that name. */
const FIRST = '\x01';

/** Reads the index of a tar from its file on demand. Memory: 8 bytes for every 64 members, and a fixed cache. */
export class LayerIndex {
  readonly #fd: number;
  readonly #footer: IndexFooter;
  readonly #offsets: Float64Array;
  readonly #blocks = new Map<number, readonly IndexEntry[]>();

  /** `fd`: the index file; the caller keeps and closes it. Throws LayerFormatError for an incomplete index, node's system errors. */
  constructor(fd: number) {
    this.#fd = fd;
    const { size } = fstatSync(fd);
    const footer = readFooter(fd, size);
    if (footer === undefined) throw new LayerFormatError('the index of a layer is damaged');
    this.#footer = footer;
    const table = readExactly(fd, footer.lineBytes, footer.tableBytes);
    this.#offsets = Float64Array.from({ length: table.length / 8 }, (_, index) => table.readDoubleLE(index * 8));
  }

  /** Size of the stored contents. Bytes. */
  get dataBytes(): number {
    return this.#footer.dataBytes;
  }

  /** The entry with exactly this path. */
  find(path: string): IndexEntry | undefined {
    const found = this.#from(path);
    return found?.path === path ? found : undefined;
  }

  /** True when there are entries below the path. */
  hasBelow(path: string): boolean {
    return this.#from(`${path}/`)?.path.startsWith(path === '' ? '' : `${path}/`) === true;
  }

  /** Sorted names in a directory, including implied directories. */
  names(path: string): string[] {
    const start = path === '' ? '' : `${path}/`;
    const names: string[] = [];
    for (let entry = this.#from(path === '' ? FIRST : start); entry?.path.startsWith(start) === true;) {
      const name = entry.path.slice(start.length).split('/', 1)[0]!;
      names.push(name);
      entry = this.#from(`${start}${name}${FIRST}`);
    }
    return names;
  }

  /** The first entry whose path is not before `path`. */
  #from(path: string): IndexEntry | undefined {
    let [low, high] = [0, this.#offsets.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (comparePaths(this.#block(middle)[0]!.path, path) <= 0) low = middle;
      else high = middle;
    }
    for (let block = low; block < this.#offsets.length; block += 1) {
      const found = this.#block(block).find((entry) => comparePaths(entry.path, path) >= 0);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #block(number: number): readonly IndexEntry[] {
    const kept = this.#blocks.get(number);
    if (kept !== undefined) return kept;
    const start = this.#offsets[number]!;
    const end = this.#offsets[number + 1] ?? this.#footer.lineBytes;
    const lines = readExactly(this.#fd, start, end - start)
      .toString()
      .trimEnd()
      .split('\n');
    const entries = lines.map((line) => parseEntry(line));
    if (this.#blocks.size >= KEPT_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!);
    this.#blocks.set(number, entries);
    return entries;
  }
}

/** Reports whether the file is a complete index of the version that this program writes. */
export function isLayerIndex(fd: number): boolean {
  return readFooter(fd, fstatSync(fd).size) !== undefined;
}

function readFooter(fd: number, size: number): IndexFooter | undefined {
  if (size < FOOTER_BYTES) return undefined;
  try {
    const footer = JSON.parse(readExactly(fd, size - FOOTER_BYTES, FOOTER_BYTES).toString()) as IndexFooter;
    const whole = footer.lineBytes + footer.tableBytes + FOOTER_BYTES === size;
    return footer.version === 1 && whole ? footer : undefined;
  } catch {
    return undefined;
  }
}

function readExactly(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const count = readSync(fd, bytes, done, length - done, position + done);
    if (count === 0) throw new LayerFormatError('the index of a layer is truncated');
    done += count;
  }
  return bytes;
}
