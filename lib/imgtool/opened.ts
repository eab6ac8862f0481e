import { UsageError } from '../errors.js';
import type { Drivers } from './drivers.js';
import { readSettings, type ImgtoolOptions, type Settings } from './settings.js';

/** Settings and the drivers created from them on first use. */
export abstract class Opened {
  readonly #settings: Settings;
  #drivers: Promise<Drivers> | undefined;
  #closed = false;

  /** Opens nothing. Throws UsageError that names an invalid option. */
  constructor(options: ImgtoolOptions = {}) {
    this.#settings = readSettings(options);
  }

  /** Directory of the store. */
  get root(): string {
    return this.#settings.root;
  }

  /** The drivers, for operations without a method; closed together with this object. */
  async drivers(): Promise<Drivers> {
    if (this.#closed) throw new UsageError('this Imgtool is closed', { hint: 'make another one' });
    this.#drivers ??= import('./drivers.js').then(({ Drivers }) => new Drivers(this.#settings));
    return this.#drivers;
  }

  /** Replaces an error that a method threw with a clearer one if the disk under the store caused it. */
  async explained(error: unknown): Promise<unknown> {
    return this.#drivers === undefined ? error : (await this.#drivers).explained(error);
  }

  /** Ends connections; later calls throw. Close the result of `serve` separately. */
  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#drivers)?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
