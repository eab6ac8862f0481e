import type { Agent } from 'node:http';
import type { OnReadOpts, Socket } from 'node:net';

/** What a connection reads into at first, and at most: many answers are small, large bodies are what takes time. Bytes. */
const FIRST_BYTES = 64 * 1024;
const MOST_BYTES = 1024 * 1024;

/**
 * Makes the connections of `agent` read large pieces where much arrives at once. Node reads 64 KiB at a time, by TLS 16 KiB, and
 * what is done for each piece (a buffer, the parser, several streams, a digest, a write) costs more than its bytes do.
 */
export function readLarge(agent: Agent): void {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, done) => {
    const reads = new LargeReads();
    const more = { ...options, onread: reads.onread };
    const socket = connect(more, done) as Socket;
    reads.begin(socket);
    return socket;
  };
}

/** To be told of each chunk of a body: whether it is a part of what was read shows what node's parser does. */
export function noteChunk({ buffer }: Uint8Array): void {
  if (parserCopies !== false) parserCopies = !buffers.has(buffer);
}

/** Node's parser copies bodies, but does not promise to: only where that was seen, a buffer is read into again. */
let parserCopies: boolean | undefined;
const buffers = new WeakSet<ArrayBufferLike>();

/** What one socket reads: passed on as `data` once all that has arrived by now is here, or a buffer is full. */
class LargeReads {
  readonly onread: OnReadOpts = {
    buffer: () => this.#room(),
    callback: (bytes) => this.#take(bytes),
  };
  #socket: Socket | undefined;
  #buffer = newBuffer(FIRST_BYTES);
  #filled = 0;
  #passed = 0;
  #planned = false;

  begin(socket: Socket): void {
    this.#socket = socket;
    // Before whoever takes them for the end of an answer.
    socket.once('end', () => this.#pass());
    socket.once('error', () => this.#pass());
  }

  /** Where the next bytes are read to. */
  #room(): Buffer {
    const { length } = this.#buffer;
    if (length - this.#filled < length / 4) {
      const isShort = this.#filled > this.#passed && length < MOST_BYTES;
      this.#pass();
      if (isShort || parserCopies !== true) this.#buffer = newBuffer(isShort ? length * 2 : length);
      [this.#filled, this.#passed] = [0, 0];
    }
    return this.#buffer.subarray(this.#filled);
  }

  #take(bytes: number): boolean {
    this.#filled += bytes;
    if (this.#planned) return true;
    this.#planned = true;
    // TLS hands over one record after the other: all that have come are here by then.
    setImmediate(() => {
      this.#planned = false;
      if (this.#socket?.destroyed === false) this.#pass();
    });
    return true;
  }

  #pass(): void {
    const piece = this.#buffer.subarray(this.#passed, this.#filled);
    this.#passed = this.#filled;
    if (piece.length > 0) this.#socket?.emit('data', piece);
  }
}

function newBuffer(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(bytes);
  buffers.add(buffer.buffer);
  return buffer;
}
