import type { ProgressSink } from '../progress/index.js';
import type { RunningServer, ServerOptions } from '../server/index.js';
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

  /** Starts the embedded registry. */
  async server(options: Pick<ServerOptions, 'dir' | 'listen' | 'readOnly'>): Promise<RunningServer> {
    const { startRegistryServer } = await import('../server/index.js');
    return startRegistryServer(options);
  }

  /** Closes what was opened. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}
