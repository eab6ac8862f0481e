import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FileStamp } from '../../rootfs/index.js';
import { makeDirectory, writeFileAtomic } from '../../util/index.js';

/** Stamp (device, inode, size, mtime, ctime), then SHA-256: 40 + 32 bytes. */
const RECORD = 72;
const STAMP = 40;
const MAGIC = Buffer.from('imgtool content hashes 1\n'.padEnd(RECORD, '\0'));
/** Size limit of a file: 1.5 million records. */
const MAX_BYTES = 108 * 1024 * 1024;
/** Within this span, the clock tick of file systems plus a margin, a file may change without a new time. */
const UNSURE_NS = 2_000_000_000n;

/**
 * Hashes of files by their stamps, cached in a file of the user. A stamp younger than two seconds is not recorded,
 * because the file could change again without a new stamp. Uses about 150 bytes of memory per file of the context.
 */
export class ContentHashes {
  readonly #path: string | undefined;
  #records: Buffer = MAGIC;
  /** Open hash table of record numbers; 0 means empty. */
  #slots: Uint32Array | undefined;
  readonly #used: Buffer[] = [];
  #hasNew = false;

  /** `path`: undefined to save nothing. */
  constructor(path: string | undefined) {
    this.#path = path;
  }

  /** Hexadecimal SHA-256 of the file with this stamp; undefined if unknown. */
  find(stamp: FileStamp): string | undefined {
    const key = keyOf(stamp);
    const at = this.#locate(key);
    if (at === undefined) return undefined;
    const record = this.#records.subarray(at, at + RECORD);
    this.#used.push(record);
    return record.toString('hex', STAMP);
  }

  /** Records the hash of a file whose stamp was the same before and after reading. `nowNs`: time before reading. */
  add(stamp: FileStamp, hash: string, nowNs: bigint): void {
    if (this.#path === undefined || stamp.ctimeNs > nowNs - UNSURE_NS || stamp.mtimeNs > nowNs - UNSURE_NS) return;
    this.#used.push(Buffer.concat([keyOf(stamp), Buffer.from(hash, 'hex')]));
    this.#hasNew = true;
  }

  /** Saves the used and added hashes. Ignores failures, which only slow down the next build. */
  async save(): Promise<void> {
    if (this.#path === undefined || !this.#hasNew) return;
    this.#hasNew = false;
    try {
      makeDirectory(dirname(this.#path));
      await writeFileAtomic(this.#path, Buffer.concat([MAGIC, ...this.#used.slice(0, MAX_BYTES / RECORD - 1)]));
    } catch {
      // The disk may be full or read-only.
    }
  }

  #locate(key: Buffer): number | undefined {
    this.#slots ??= this.#load();
    const { length } = this.#slots;
    for (let slot = slotOf(key, length); ; slot = (slot + 1) % length) {
      const number = this.#slots[slot]!;
      if (number === 0) return undefined;
      const at = number * RECORD;
      if (key.compare(this.#records, at, at + STAMP) === 0) return at;
    }
  }

  #load(): Uint32Array {
    const found = this.#path === undefined ? undefined : readOwnFile(this.#path);
    if (found !== undefined && found.length % RECORD === 0 && found.subarray(0, RECORD).equals(MAGIC)) {
      this.#records = found;
    }
    const count = this.#records.length / RECORD;
    const slots = new Uint32Array(2 * count);
    for (let number = 1; number < count; number += 1) {
      const key = this.#records.subarray(number * RECORD, number * RECORD + STAMP);
      let slot = slotOf(key, slots.length);
      while (slots[slot] !== 0) slot = (slot + 1) % slots.length;
      slots[slot] = number;
    }
    return slots;
  }
}

function keyOf({ device, inode, size, mtimeNs, ctimeNs }: FileStamp): Buffer {
  const key = Buffer.allocUnsafe(STAMP);
  [device, inode, size].forEach((value, index) => key.writeBigUInt64LE(value, index * 8));
  [mtimeNs, ctimeNs].forEach((value, index) => key.writeBigInt64LE(value, 24 + index * 8));
  return key;
}

function slotOf(key: Buffer, length: number): number {
  return ((key.readUInt32LE(8) ^ Math.imul(key.readUInt32LE(24) ^ key.readUInt32LE(32), 0x9e37_79b1)) >>> 0) % length;
}

/**
 * Reads a file that this user owns and no other user can write. A hash forged by another user could make a changed step
 * count as cached.
 */
function readOwnFile(path: string): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const stats = fstatSync(fd);
    const isOwn = stats.isFile() && stats.uid === process.geteuid!() && (stats.mode & 0o022) === 0;
    return isOwn && stats.size <= MAX_BYTES ? readFileSync(fd) : undefined;
  } finally {
    closeSync(fd);
  }
}
