import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { ImgtoolError } from '../errors.js';
import { KeyedMutex } from '../util/index.js';

/**
 * Writes a tar sequentially. The same calls give the same bytes: no owners, one modification time for all members.
 * Members are written one after another, in the order of the calls.
 */
export class TarOutput {
  readonly #pack = pack();
  readonly #mtime: Date;
  readonly #turns = new KeyedMutex();
  readonly #flow: Promise<void>;

  /** `finish` ends `output`, `discard` destroys it. `mtime`: seconds since 1970. */
  constructor(output: Writable, mtime: number) {
    this.#mtime = new Date(mtime * 1000);
    this.#flow = pipeline(this.#pack, output);
    // The next call reports the failure.
    this.#flow.catch(() => undefined);
  }

  /** Adds a small file. */
  addBytes(name: string, bytes: Uint8Array): Promise<void> {
    return this.addFile(name, bytes.length, [bytes]);
  }

  /** Adds a file of `size` bytes, which `content` must yield exactly. Errors of `content` are passed on. */
  addFile(name: string, size: number, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    return this.#inTurn(async () => {
      const entry = this.#pack.entry({ ...this.#header(name), type: 'file', size });
      await pipeline(content, entry);
    });
  }

  addDirectory(name: string): Promise<void> {
    return this.#addEmpty({ ...this.#header(`${name}/`), type: 'directory', mode: 0o755 });
  }

  addLink(name: string, target: string): Promise<void> {
    return this.#addEmpty({ ...this.#header(name), type: 'symlink', linkname: target, mode: 0o777 });
  }

  /** Writes the end of the tar. Afterwards everything has been passed to the output. */
  async finish(): Promise<void> {
    await this.#inTurn(() => {
      this.#pack.finalize();
      return Promise.resolve();
    });
    await this.#flow;
  }

  /** Aborts the tar. */
  async discard(): Promise<void> {
    this.#pack.destroy();
    await this.#flow.catch(() => undefined);
  }

  #addEmpty(header: Parameters<ReturnType<typeof pack>['entry']>[0]): Promise<void> {
    return this.#inTurn(
      () =>
        new Promise((resolve, reject) => {
          this.#pack.entry(header, (error) => (error === undefined || error === null ? resolve() : reject(error)));
        }),
    );
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    try {
      await this.#turns.run('', work);
    } catch (error) {
      this.#pack.destroy(error as Error);
      if (error instanceof ImgtoolError || (error as Error).name === 'AbortError') throw error;
      // The output's error is the cause: a full disk, or a reader that closed the pipe.
      await this.#flow;
      throw error;
    }
  }

  #header(name: string): { name: string; mode: number; mtime: Date } {
    return { name, mode: 0o644, mtime: this.#mtime };
  }
}
