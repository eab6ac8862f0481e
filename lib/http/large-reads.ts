import type { Agent } from 'node:http';
import type { OnReadOpts, Socket } from 'node:net';

/** What a connection reads into at first, and at most: small answers are many, large bodies take the time. Bytes. */
const FIRST_BYTES = 64 * 1024;
const MOST_BYTES = 1024 * 1024;

/**
 * Makes the connections of `agent` read large pieces where much arrives at once. Node reads 64 KiB at a time, by TLS 16 KiB, and
 * all that is done for each piece (a buffer, the parser, several streams, a digest, a write) costs more than its bytes do.
 */
export function readLarge<A extends Agent>(agent: A): A {
  const { createConnection } = agent;
  agent.createConnection = (options, done) => {
    const reads = new LargeReads();
    const socket = createConnection.call(agent, { ...options, onread: reads.onread } as object, done) as Socket;
    reads.begin(socket);
    return socket;
  };
  return agent;
}

/** Takes what one socket reads, and passes it on as `data` once all that has arrived by now is here, or a buffer is full. */
class LargeReads {
  readonly onread: OnReadOpts = {
    buffer: () => this.#room(),
    callback: (bytes) => this.#take(bytes),
  };
  #socket: Socket | undefined;
  #size = FIRST_BYTES;
  /** Never used again: the pieces that are passed on are parts of it. */
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
    if (this.#buffer.length - this.#filled < this.#buffer.length / 4) {
      // More has come at once than there is room for.
      if (this.#filled > this.#passed) this.#size = Math.min(MOST_BYTES, this.#size * 2);
      this.#pass();
      this.#buffer = Buffer.allocUnsafeSlow(this.#size);
      [this.#filled, this.#passed] = [0, 0];
    }
    return this.#buffer.subarray(this.#filled);
  }

  #take(bytes: number): boolean {
    this.#filled += bytes;
    if (!this.#planned) {
      this.#planned = true;
      // TLS hands over one record after the other: they have all come before this.
      setImmediate(() => {
        this.#planned = false;
        if (this.#socket?.destroyed === false) this.#pass();
      });
    }
    return true;
  }

  #pass(): void {
    const piece = this.#buffer.subarray(this.#passed, this.#filled);
    this.#passed = this.#filled;
    if (piece.length > 0) this.#socket?.emit('data', piece);
  }
}
