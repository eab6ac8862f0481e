import { createInflateRaw, type InflateRaw } from 'node:zlib';
import type { InflateEngine, InflateStep } from './inflate-engine.js';

const OUTPUT_CHUNK_BYTES = 128 * 1024;

/** Raw deflate by node:zlib, whose thread pool does the work while this thread waits. Always available, but the slowest. */
export class NodeInflate implements InflateEngine {
  readonly takesTrailer = false;
  done = false;
  #stream: InflateRaw | undefined;
  #held: Buffer | undefined;
  #writing = false;
  /** The final block has ended: zlib did not consume all of its input. */
  #over = false;
  #ended = false;
  #failure: string | undefined;
  #consumed = 0;
  #wake: () => void = () => undefined;

  reset(): void {
    this.#stream?.destroy();
    const stream = createInflateRaw({ chunkSize: OUTPUT_CHUNK_BYTES });
    this.#stream = stream;
    this.#held = undefined;
    this.#writing = this.#over = this.#ended = this.done = false;
    this.#failure = undefined;
    this.#consumed = 0;
    const onEvent = (change: () => void) => () => {
      if (this.#stream !== stream) return;
      change();
      this.#wake();
    };
    stream.on(
      'readable',
      onEvent(() => undefined),
    );
    stream.on(
      'end',
      onEvent(() => {
        this.#ended = true;
      }),
    );
    stream.on('error', (error: Error) => {
      onEvent(() => {
        this.#failure = error.message;
      })();
    });
  }

  async step(step: InflateStep): Promise<string | undefined> {
    for (;;) {
      step.inputStart += this.#consumed;
      this.#consumed = 0;
      this.#held ??= (this.#stream!.read() as Buffer | null) ?? undefined;
      if (this.#held !== undefined) {
        this.#copyHeld(step);
        return undefined;
      }
      if (this.#failure !== undefined) return this.#failure;
      if (this.#ended && !this.#writing) {
        this.done = true;
        return undefined;
      }
      const changed = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      if (!this.#writing && !this.#over) {
        if (step.inputStart === step.inputEnd) return undefined;
        this.#write(step.input.subarray(step.inputStart, step.inputEnd));
      }
      await changed;
    }
  }

  #copyHeld(step: InflateStep): void {
    const held = this.#held!;
    const count = Math.min(held.length, step.outputEnd - step.outputStart);
    step.output.set(held.subarray(0, count), step.outputStart);
    step.outputStart += count;
    this.#held = count === held.length ? undefined : held.subarray(count);
  }

  #write(chunk: Uint8Array): void {
    const stream = this.#stream!;
    const before = stream.bytesWritten;
    this.#writing = true;
    stream.write(chunk, () => {
      if (this.#stream !== stream) return;
      this.#writing = false;
      this.#consumed = stream.bytesWritten - before;
      if (this.#consumed < chunk.length) this.#over = true;
      this.#wake();
    });
  }
}
