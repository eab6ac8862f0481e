import type { ProgressSink } from '../progress/index.js';
import type { ConfigFile } from './config-file.js';
import type { Options } from './options.js';

/** Constructs the drivers, each on first use: the only place that does. Close it when the command has ended. */
export class Composition {
  readonly files: readonly ConfigFile[];
  readonly #options: Options;
  protected readonly progress: ProgressSink;
  protected readonly signal: AbortSignal;

  constructor(options: Options, files: readonly ConfigFile[], progress: ProgressSink, signal: AbortSignal) {
    this.#options = options;
    this.files = files;
    this.progress = progress;
    this.signal = signal;
  }

  /** Directory of the store. */
  get root(): string {
    return this.#options.text('root')!;
  }

  /** Closes what was opened. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}
