import { fstatSync, readSync } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import { comparePaths, FOOTER_BYTES, parseEntry, type IndexEntry, type IndexFooter } from './entry.js';

/** Blocks of lines kept after they were read. */
const KEPT_BLOCKS = 64;
/** The least byte a name can have: behind a name it follows everything below that name. */
const FIRST = '\x01';

/** The index of a tar, read from its file piece by piece: memory does not grow with it, but for 8 bytes for every 64 members. */
export class LayerIndex {
  readonly #fd: number;
  readonly #footer: IndexFooter;
  readonly #offsets: Float64Array;
  readonly #blocks = new Map<number, readonly IndexEntry[]>();

  /** `fd`: of the index; stays the caller's. Throws LayerFormatError (no whole index), node's system error. */
  constructor(fd: number) {
    this.#fd = fd;
    const { size } = fstatSync(fd);
    const footer = readFooter(fd, size);
    if (footer === undefined) throw new LayerFormatError('the index of a layer is damaged');
    this.#footer = footer;
    const table = readExactly(fd, footer.lineBytes, footer.tableBytes);
    this.#offsets = Float64Array.from({ length: table.length / 8 }, (_, index) => table.readDoubleLE(index * 8));
  }

  /** Bytes of the stored contents. */
  get dataBytes(): number {
    return this.#footer.dataBytes;
  }

  /** The entry at exactly this path. */
  find(path: string): IndexEntry | undefined {
    const found = this.#from(path);
    return found?.path === path ? found : undefined;
  }

  /** Whether something lies below the path. */
  hasBelow(path: string): boolean {
    return this.#from(`${path}/`)?.path.startsWith(path === '' ? '' : `${path}/`) === true;
  }

  /** Names in a directory, those of implied directories included, sorted. */
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
    if (count === 0) throw new LayerFormatError('the index of a layer is cut');
    done += count;
  }
  return bytes;
}
