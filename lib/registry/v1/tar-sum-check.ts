import { once } from 'node:events';
import { createGunzip, type Gunzip } from 'node:zlib';
import { LayerFormatError } from '../../errors.js';
import { TarSum } from '../../spec/index.js';

/**
 * Computes the TarSum of a layer as sent (gzip or plain tar). Layers that it cannot sum (other compressions, sparse
 * files) are not checked: `end` then returns undefined.
 */
export class TarSumCheck {
  readonly #version: 'v0' | 'v1';
  readonly #json: Buffer;
  readonly #sum = new TarSum();
  #gunzip: Gunzip | undefined;
  #begun = false;
  #failed = false;

  /** `wanted`: the expected sum with its label, which determines the version. `json`: the image's JSON. */
  constructor(wanted: string, json: Buffer) {
    this.#version = wanted.startsWith('tarsum.v1+') ? 'v1' : 'v0';
    this.#json = json;
  }

  /** Takes the next bytes. Resolves when there is room for more. */
  async write(bytes: Buffer): Promise<void> {
    if (this.#failed) return;
    if (!this.#begun) this.#begin(bytes);
    if (this.#gunzip === undefined) return this.#update(bytes);
    if (!this.#gunzip.write(bytes) && !this.#gunzip.destroyed) {
      await Promise.race([once(this.#gunzip, 'drain'), once(this.#gunzip, 'close')]).catch(() => undefined);
    }
  }

  /** The sum with its label, or undefined. */
  async end(): Promise<string | undefined> {
    if (this.#gunzip !== undefined && !this.#gunzip.destroyed) {
      const ended = once(this.#gunzip, 'end').catch(() => undefined);
      this.#gunzip.end();
      await ended;
    }
    if (this.#failed) return undefined;
    try {
      return this.#sum.end(this.#json)[this.#version];
    } catch (error) {
      if (error instanceof LayerFormatError) return undefined;
      throw error;
    }
  }

  /** True when a sum other than the result of `end` may also be right (see TarSum). */
  get isDoubtful(): boolean {
    return this.#sum.isDoubtful(this.#version);
  }

  /** Frees the decompressor. */
  close(): void {
    this.#gunzip?.destroy();
  }

  #begin(bytes: Buffer): void {
    this.#begun = true;
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return;
    this.#gunzip = createGunzip();
    this.#gunzip.on('data', (tar: Buffer) => this.#update(tar));
    // Unpacking detects corrupt layers.
    this.#gunzip.on('error', () => (this.#failed = true));
  }

  #update(tar: Buffer): void {
    if (this.#failed) return;
    try {
      this.#sum.update(tar);
    } catch (error) {
      if (!(error instanceof LayerFormatError)) throw error;
      this.#failed = true;
    }
  }
}
