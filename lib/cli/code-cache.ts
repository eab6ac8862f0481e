import {
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';

/** What V8 has compiled, by the name of the file it was compiled from. */
export interface CompiledCode {
  /** Commands whose code is among it. */
  readonly commands: readonly string[];
  readonly files: ReadonlyMap<string, Buffer>;
}

/** First 8 bytes: length of the index, checksum of all that follows (both 32 bits, little endian). */
const HEADER_BYTES = 8;
/** Caches that are kept: one for each build of imgtool and version of node in use. */
const KEPT = 6;
export const CODE_CACHE_SUFFIX = '.code';

/**
 * What the cache at `path` holds; undefined when there is none, it is damaged, or someone else could have written it: V8
 * trusts what it is given.
 */
export function readCodeCache(path: string): CompiledCode | undefined {
  const data = readOwnFile(path);
  if (data === undefined || data.length < HEADER_BYTES) return undefined;
  if (crc32(data.subarray(HEADER_BYTES)) !== data.readUInt32LE(4)) return undefined;
  const start = HEADER_BYTES + data.readUInt32LE(0);
  const index = JSON.parse(data.toString('utf8', HEADER_BYTES, start)) as Index;
  const files = new Map<string, Buffer>();
  let offset = start;
  for (const [name, size] of index.files) {
    files.set(name, data.subarray(offset, offset + size));
    offset += size;
  }
  return { commands: index.commands, files };
}

/**
 * Puts what `make` makes in place of the cache at `path`, in one step, and removes the oldest beside it; makes nothing where it
 * could not be kept. Throws what node:fs throws.
 */
export function writeCodeCache(path: string, make: () => CompiledCode): void {
  const directory = dirname(path);
  makeDirectories(directory);
  if (!isOwn(lstatSync(directory))) return;
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    writeFileSync(fd, encode(make()));
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  removeOldest(directory);
}

/** The three of `CACHE/imgtool/compiled`. Not `recursive`: a home is not ours to make, and in /proc node would try for ever. */
function makeDirectories(directory: string): void {
  for (const path of [dirname(dirname(directory)), dirname(directory), directory])
    if (!existsSync(path)) makeDirectory(path);
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function encode({ commands, files }: CompiledCode): Buffer {
  const index: Index = { commands, files: [...files].map(([name, { length }]) => [name, length]) };
  const head = Buffer.from(JSON.stringify(index));
  const rest = Buffer.concat([head, ...files.values()]);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(head.length, 0);
  header.writeUInt32LE(crc32(rest), 4);
  return Buffer.concat([header, rest]);
}

interface Index {
  readonly commands: readonly string[];
  readonly files: readonly (readonly [name: string, size: number])[];
}

function readOwnFile(path: string): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const stats = fstatSync(fd);
    return stats.isFile() && isOwn(stats) ? readFileSync(fd) : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Nobody else can write to it. */
function isOwn({ uid, mode }: Stats): boolean {
  return uid === process.geteuid!() && (mode & 0o022) === 0;
}

/** Those of builds and versions that are no longer in use, and what a killed process may have left. */
function removeOldest(directory: string): void {
  const found = readdirSync(directory)
    .filter((name) => name.includes(CODE_CACHE_SUFFIX))
    .map((name) => join(directory, name))
    .map((path) => ({ path, writtenMs: statSync(path).mtimeMs }))
    .sort((one, other) => other.writtenMs - one.writtenMs);
  for (const { path } of found.slice(KEPT)) rmSync(path, { force: true });
}
