import { crc32c } from './crc32c.js';

/** A send stream or a tree has a feature that this code does not handle. The caller walks both trees instead. */
export class SendSurprise extends Error {
  override readonly name = 'SendSurprise';
}

/** One command of a send stream: its number, and its attributes by number. Valid until the next command is read. */
export interface SendCommand {
  readonly command: number;
  readonly attributes: ReadonlyMap<number, Buffer>;
}

const MAGIC = Buffer.from('btrfs-stream\0');
const STREAM_HEADER = MAGIC.length + 4;
const COMMAND_HEADER = 10;
/** Since version 2, the attribute A_DATA has no length field and extends to the end of its command. */
const A_DATA = 19;
/** The longest command accepted; without file data, commands stay below 64 KiB (xattr values). Bytes. */
const MAX_COMMAND = 1 << 20;

/**
 * Parses btrfs send streams, versions 1 and 2 (fs/btrfs/send.h). Receives data through `push` and buffers at most one
 * command. Throws SendSurprise for an invalid stream or a wrong checksum.
 */
export class SendStreamParser {
  #rest: Buffer = Buffer.alloc(0);
  #version = 0;

  /** Yields the commands completed by `chunk`. */
  *push(chunk: Buffer): Generator<SendCommand, void> {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#version === 0 && data.length >= STREAM_HEADER) {
      if (!data.subarray(0, MAGIC.length).equals(MAGIC)) throw new SendSurprise('not a send stream');
      this.#version = data.readUInt32LE(MAGIC.length);
      if (this.#version !== 1 && this.#version !== 2) throw new SendSurprise(`send stream version ${this.#version}`);
      data = data.subarray(STREAM_HEADER);
    }
    while (this.#version !== 0 && data.length >= COMMAND_HEADER) {
      const length = data.readUInt32LE(0);
      if (length > MAX_COMMAND) throw new SendSurprise(`a command of ${length} bytes`);
      if (data.length < COMMAND_HEADER + length) break;
      yield this.#parse(data.subarray(0, COMMAND_HEADER + length));
      data = data.subarray(COMMAND_HEADER + length);
    }
    this.#rest = Buffer.from(data);
  }

  /** True when the data so far consists of whole commands. */
  get atBoundary(): boolean {
    return this.#version !== 0 && this.#rest.length === 0;
  }

  #parse(bytes: Buffer): SendCommand {
    const sum = crc32c(crc32c(crc32c(0, bytes.subarray(0, 6)), NO_CRC), bytes.subarray(COMMAND_HEADER));
    if (sum !== bytes.readUInt32LE(6)) throw new SendSurprise('a command with a wrong checksum');
    const attributes = new Map<number, Buffer>();
    for (let at = COMMAND_HEADER; at < bytes.length;) {
      if (at + 2 > bytes.length) throw new SendSurprise('a truncated attribute');
      const type = bytes.readUInt16LE(at);
      const open = type === A_DATA && this.#version >= 2;
      if (!open && at + 4 > bytes.length) throw new SendSurprise('a truncated attribute');
      const start = at + (open ? 2 : 4);
      const end = open ? bytes.length : start + bytes.readUInt16LE(at + 2);
      if (end > bytes.length) throw new SendSurprise('a truncated attribute');
      attributes.set(type, bytes.subarray(start, end));
      at = end;
    }
    return { command: bytes.readUInt16LE(4), attributes };
  }
}

const NO_CRC = Buffer.alloc(4);
