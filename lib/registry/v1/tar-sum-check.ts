import { finished } from 'node:stream/promises';
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
  #goOn: () => void = () => undefined;
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
    const gunzip = this.#gunzip;
    if (gunzip === undefined) return this.#update(bytes);
    await new Promise<void>((resolve) => {
      this.#goOn = resolve;
      gunzip.write(bytes, () => resolve());
    });
  }

  /** The sum with its label, or undefined. */
  async end(): Promise<string | undefined> {
    // The tar may have ended already: zeros after a gzip member end it.
    if (this.#gunzip !== undefined) await finished(this.#gunzip.end()).catch(() => undefined);
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
    // A write that fails never calls back.
    this.#gunzip.on('close', () => this.#goOn());
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
