import type { Readable } from 'node:stream';
import { DigestMismatchError } from '../../errors.js';
import type { Descriptor, LayerFiles } from '../../spec/index.js';
import { Semaphore } from '../../util/index.js';
import {
  type ConvertedLayer,
  type KnownLayer,
  type LayerForm,
  repackLayer,
  writeLayer,
  type WriteLayerDeps,
} from './convert-layers.js';
import type { LayerSpool, SpooledBlob } from './spool.js';

/** How layers of the local store are converted. */
export interface StoredLayerOptions {
  readonly files: LayerFiles;
  /** Where new blobs are kept. */
  readonly spool: LayerSpool;
  /** Whether every destination has the blob, so that a lost one need not be packed. */
  readonly isThere: (blob: Descriptor) => Promise<boolean>;
  /** Fetches nothing: what would have to be fetched first keeps its digest. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** Converts layers of the local store, one at a time; one of whose blob no copy is left is packed again from its files. */
export class StoredLayerConverter {
  readonly #deps: WriteLayerDeps;
  readonly #options: StoredLayerOptions;
  readonly #turn = new Semaphore(1);

  constructor(deps: WriteLayerDeps, options: StoredLayerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Whether the layer cannot stay as it is, whatever form is asked for. */
  async isLost(layer: Descriptor): Promise<boolean> {
    const { files, isThere } = this.#options;
    return (await files.where(layer)) === 'lost' && !(await isThere(layer));
  }

  /** Throws NotFoundError (no copy of the blob, and no files), DigestMismatchError, what compressing throws, AbortError. */
  convert(layer: Descriptor, form: LayerForm | undefined, { position }: KnownLayer): Promise<ConvertedLayer> {
    return this.#turn.run(async () => {
      const { files, dryRun, signal } = this.#options;
      const diffId = files.diffIds[position]!;
      if (dryRun && (await files.where(layer)) === 'elsewhere') {
        const what = `layer ${layer.digest} is not here: its new digest and size are known when it is pushed`;
        this.#deps.progress.note(what);
        return { digest: layer.digest, size: layer.size, diffId, spooled: undefined };
      }
      const path = await files.pathOf(layer, { signal });
      if (path === undefined) return this.#pack(layer, form!, position);
      const converted = await repackLayer(this.#deps, { fetched: { ...layer, path }, form, ...this.#options });
      if (converted.diffId === diffId) return converted;
      throw new DigestMismatchError(
        `layer ${layer.digest} in the store is damaged: its diffID is ${converted.diffId}`,
        {
          expected: diffId,
          actual: converted.diffId,
          hint: 'pull the image again, or repair the store with: imgtool store fsck',
        },
      );
    });
  }

  async #pack({ digest }: Descriptor, form: LayerForm, position: number): Promise<ConvertedLayer> {
    const { files, spool, signal } = this.#options;
    const take = (output: Readable): Promise<SpooledBlob> => spool.take(output, { signal });
    const { written, taken } = await writeLayer(this.#deps, { digest, take, signal }, (how) =>
      files.pack(position, { ...form, ...how }),
    );
    for (const note of written.notes) this.#deps.progress.note(note);
    const same = taken.digest === digest ? 'with the same digest' : `as ${taken.digest}`;
    this.#deps.progress.note(`layer ${digest} is nowhere any more: packed anew from its files ${same}`);
    return { digest: taken.digest, size: taken.size, diffId: written.diffId, spooled: taken };
  }
}
