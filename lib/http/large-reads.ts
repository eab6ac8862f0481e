import { request, type Agent } from 'node:http';
import type { OnReadOpts, Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** What a connection reads into at first, and at most: many answers are small, large bodies are what takes time. Bytes. */
const FIRST_BYTES = 64 * 1024;
const MOST_BYTES = 1024 * 1024;

/**
 * Makes the connections of `agent` read large pieces where much arrives at once. Node reads 64 KiB at a time, by TLS 16 KiB, and
 * what is done for each piece (a buffer, the parser, several streams, a digest, a write) costs more than its bytes do.
 */
export function readLarge(agent: Agent): void {
  if (parserCopies === undefined) watchParser();
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, done) => {
    const reads = new LargeReads();
    const more = { ...options, onread: reads.onread };
    const socket = connect(more, done) as Socket;
    reads.begin(socket);
    return socket;
  };
}

/** Node's parser copies bodies, but nowhere promises to: where it was seen to, a buffer is read into again. */
let parserCopies: boolean | undefined;

/** Finds out by an answer that comes from nowhere. */
function watchParser(): void {
  const text = 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n.';
  const answer = Buffer.allocUnsafeSlow(text.length);
  answer.write(text, 'latin1');
  const socket: Duplex = new Duplex({
    read: () => undefined,
    write: (_request, _encoding, done) => {
      socket.push(answer);
      done();
    },
  });
  request({ createConnection: () => socket })
    .once('response', (response) => {
      response.once('data', (chunk: Buffer) => (parserCopies = chunk.buffer !== answer.buffer));
    })
    .once('error', () => (parserCopies = false))
    .end();
}

/** What one socket reads: passed on as `data` once all that has arrived by now is here, or a buffer is full. */
class LargeReads {
  readonly onread: OnReadOpts = {
    buffer: () => this.#room(),
    callback: (bytes) => this.#take(bytes),
  };
  #socket: Socket | undefined;
  #buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
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
      if (isShort || parserCopies !== true) this.#buffer = Buffer.allocUnsafeSlow(isShort ? length * 2 : length);
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
