import { UsageError } from '../errors.js';
import type { Drivers } from './drivers.js';
import { readSettings, type ImgtoolOptions, type Settings } from './settings.js';

/** Settings, and the drivers that are made of them on first use. */
export abstract class Opened {
  readonly #settings: Settings;
  #drivers: Promise<Drivers> | undefined;
  #closed = false;

  /** Opens nothing. Throws UsageError that names the option which is wrong. */
  constructor(options: ImgtoolOptions = {}) {
    this.#settings = readSettings(options);
  }

  /** Directory of the store. */
  get root(): string {
    return this.#settings.root;
  }

  /** The drivers that the methods work with, for operations without a method; closed with this object. */
  async drivers(): Promise<Drivers> {
    if (this.#closed) throw new UsageError('this Imgtool is closed', { hint: 'make another one' });
    this.#drivers ??= import('./drivers.js').then(({ Drivers }) => new Drivers(this.#settings));
    return this.#drivers;
  }

  /** What to tell people in place of an error that a method threw, when the disk under the store is to blame. */
  async explained(error: unknown): Promise<unknown> {
    return this.#drivers === undefined ? error : (await this.#drivers).explained(error);
  }

  /** Ends connections; methods throw afterwards. Close what `serve` returned separately. */
  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#drivers)?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
