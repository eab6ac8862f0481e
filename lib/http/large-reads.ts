import { request, type Agent } from 'node:http';
import type { OnReadOpts, Socket } from 'node:net';
import { Duplex } from 'node:stream';

/**
 * The initial and the largest size in bytes of a connection's read buffer: many responses are small, large bodies take
 * most of the time.
 */
const FIRST_BYTES = 64 * 1024;
const MOST_BYTES = 1024 * 1024;

/**
 * Makes the connections of `agent` read in larger pieces. Node reads 64 KiB at a time (16 KiB over TLS), and the cost
 * of each piece (a buffer, the parser, several streams, a digest, a write) exceeds that of its bytes.
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

/** Node's parser copies bodies but does not guarantee it. A buffer is reused only after `watchParser` has seen the copy. */
let parserCopies: boolean | undefined;

/** Tests the parser with a response from memory. */
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

/** Collects what one socket reads. Emits it as `data` when nothing more is pending or the buffer is full. */
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
    // Must run before the listeners that treat it as the end of the response.
    socket.once('end', () => this.#pass());
    socket.once('error', () => this.#pass());
  }

  /** The free part of the buffer. */
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
    // TLS delivers record by record; by then all pending records have arrived.
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
