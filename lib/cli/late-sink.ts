import type { ProgressEvent, ProgressSink, StepEvent } from '../progress/index.js';
import type { ClosableSink } from './progress-sink.js';

/** Loads the renderer at the first event, which most commands never emit; meanwhile events are queued in order. */
export class LateSink implements ProgressSink {
  readonly #load: () => Promise<ClosableSink>;
  readonly #waiting: ((sink: ClosableSink) => void)[] = [];
  #sink: ClosableSink | undefined;
  #loading: Promise<void> | undefined;

  /** `load` must not reject. */
  constructor(load: () => Promise<ClosableSink>) {
    this.#load = load;
  }

  event(event: ProgressEvent): void {
    this.#tell((sink) => sink.event(event));
  }

  step(event: StepEvent): void {
    this.#tell((sink) => sink.step?.(event));
  }

  note(message: string): void {
    this.#tell((sink) => sink.note(message));
  }

  /** Resolves when all output is written. */
  async written(): Promise<void> {
    await this.#loading;
  }

  async close(): Promise<void> {
    await this.#loading;
    this.#sink?.close();
  }

  #tell(say: (sink: ClosableSink) => void): void {
    if (this.#sink !== undefined) return say(this.#sink);
    this.#waiting.push(say);
    this.#loading ??= this.#start();
  }

  async #start(): Promise<void> {
    const sink = await this.#load();
    for (const say of this.#waiting.splice(0)) say(sink);
    this.#sink = sink;
  }
}
