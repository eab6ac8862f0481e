import { PassThrough, type Writable } from 'node:stream';
import { DigestMismatchError } from '../../errors.js';
import type { ProgressSink } from '../../progress/index.js';
import { bothOrFirstError, Semaphore } from '../../util/index.js';
import {
  type Descriptor,
  type DiffId,
  type Digest,
  type ImageSource,
  isDigest,
  type LayerCompression,
  type LayerFiles,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { type LayerSpool, readVerified, type SpooledBlob } from './spool.js';

/** The dependencies of sources that have to convert what they read. */
export interface ConvertDeps extends Pick<OperationDeps, 'recompressLayer'> {
  readonly progress: ProgressSink;
  /** Directory for layers during conversion. */
  readonly temporaryDirectory: string;
  /** Results of earlier conversions, which save reading layers again; undefined: none. */
  readonly facts?: LayerFacts | undefined;
}

/** The dependencies of converting images. */
export interface ConvertImageDeps extends Pick<ConvertDeps, 'recompressLayer' | 'progress' | 'facts'> {
  /** Creates the storage for layers, which is closed after the copy. */
  readonly createSpool: () => LayerSpool;
}

/** Stores the results of conversions across copies and runs. */
export interface LayerFacts {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

/** The target form of a layer. Without a level, a layer that already has this compression is kept. */
export interface LayerForm {
  readonly compression: LayerCompression;
  readonly level: number | undefined;
}

/** A converted layer. `spooled` is undefined when the layer was only read for its diffID. */
export interface ConvertedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: DiffId;
  readonly spooled: Pick<SpooledBlob, 'open'> | undefined;
  /** The layer was packed from files, so its diffID may differ. */
  readonly isPacked?: boolean;
}

/** The environment of conversions. */
export interface LayerJob {
  readonly source: ImageSource;
  readonly spool: LayerSpool;
  /** True when every destination has the blob, so that a lost one need not be packed. */
  readonly isThere: (blob: Descriptor) => Promise<boolean>;
  /** Fetch nothing for layers of the local store. Layers that would have to be fetched keep their digests. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** What the image states about a layer. */
interface KnownLayer {
  /** Its position; 0 is the oldest. */
  readonly position: number;
  /** Undefined when the image does not declare it. */
  readonly diffId?: DiffId | undefined;
}

/**
 * Converts each layer of a source once. Layers are fetched concurrently but converted one at a time, in constant
 * memory. A layer of the local store without any remaining copy of its blob is packed again from its files.
 */
export class LayerConverter {
  readonly #deps: Omit<ConvertImageDeps, 'createSpool'>;
  readonly #job: LayerJob;
  /** The conversion engine supports one layer at a time. */
  readonly #turn = new Semaphore(1);
  readonly #done = new Map<string, Promise<ConvertedLayer>>();

  constructor(deps: Omit<ConvertImageDeps, 'createSpool'>, job: LayerJob) {
    this.#deps = deps;
    this.#job = job;
  }

  /** True when no copy of the layer's blob is left, so that it must be converted. */
  async isLost(layer: Descriptor): Promise<boolean> {
    const { source, isThere } = this.#job;
    return (await source.files?.where(layer)) === 'lost' && !(await isThere(layer));
  }

  /**
   * Fetches a layer and converts it to `form`; undefined: only determines its diffID. Throws DigestMismatchError for an
   * unexpected diffID, LayerFormatError, NotFoundError, the errors of the source, AbortError.
   */
  async convert(layer: Descriptor, form: LayerForm | undefined, known: KnownLayer): Promise<ConvertedLayer> {
    const { files } = this.#job.source;
    const key = `${layer.digest} ${form?.compression} ${form?.level}`;
    // Layers with equal blobs may be packed from different files, depending on their position.
    const here = files === undefined ? key : `${key} ${known.position}`;
    const work =
      this.#done.get(here) ?? this.#recall(key, layer, form, known) ?? this.#convertNow(key, layer, form, known);
    this.#done.set(here, work);
    const converted = await work;
    const { diffId: expected } = known;
    const { diffId: actual, isPacked } = converted;
    if (expected === undefined || actual === expected || isPacked === true) return converted;
    const [what, hint] =
      files === undefined
        ? ['is not what the config says', 'the image is damaged at its source']
        : ['in the store is damaged', 'pull the image again, or repair the store with: imgtool store fsck'];
    throw new DigestMismatchError(`layer ${layer.digest} ${what}: its diffID is ${actual}`, { expected, actual, hint });
  }

  /** The result of an earlier conversion, which is repeated only when the blob is needed. */
  #recall(
    key: string,
    layer: Descriptor,
    form: LayerForm | undefined,
    known: KnownLayer,
  ): Promise<ConvertedLayer> | undefined {
    const fact = parseFact(this.#deps.facts?.get(`layer ${key}`));
    if (fact === undefined) return undefined;
    let again: Promise<ConvertedLayer> | undefined;
    const open: SpooledBlob['open'] = async (options) => {
      // If the result differs this time, its reader notices, and the next copy no longer uses this result.
      again ??= this.#convertNow(key, layer, form, known);
      return (await again).spooled!.open(options);
    };
    return Promise.resolve({ ...fact, spooled: form === undefined ? undefined : { open } });
  }

  async #convertNow(
    key: string,
    layer: Descriptor,
    form: LayerForm | undefined,
    { position }: KnownLayer,
  ): Promise<ConvertedLayer> {
    const { files } = this.#job.source;
    const converted = await (files === undefined
      ? this.#convert(layer, form)
      : this.#turn.run(() => this.#convertStored(files, layer, { form: form!, position })));
    const { digest, size, diffId } = converted;
    this.#deps.facts?.set(`layer ${key}`, JSON.stringify({ digest, size, diffId }));
    return converted;
  }

  async #convert(layer: Descriptor, form: LayerForm | undefined): Promise<ConvertedLayer> {
    const fetched = await this.#fetch(layer);
    try {
      return await this.#turn.run(() => repackLayer(this.#deps, { ...this.#job, fetched, form }));
    } finally {
      await fetched.drop();
    }
  }

  async #convertStored(
    files: LayerFiles,
    layer: Descriptor,
    { form, position }: { readonly form: LayerForm; readonly position: number },
  ): Promise<ConvertedLayer> {
    const { digest, size } = layer;
    const { spool, dryRun, signal } = this.#job;
    const { progress } = this.#deps;
    if (dryRun && (await files.where(layer)) === 'elsewhere') {
      progress.note(`layer ${digest} is not here: its new digest and size are known when it is pushed`);
      return { digest, size, diffId: files.diffIds[position]!, spooled: undefined };
    }
    const path = await files.pathOf(layer, { signal });
    if (path !== undefined) return repackLayer(this.#deps, { ...this.#job, fetched: { digest, size, path }, form });
    const take = (output: PassThrough): Promise<SpooledBlob> => spool.take(output, { signal });
    const { written, taken } = await writeLayer(this.#deps, { digest, take, signal }, (how) =>
      files.pack(position, { ...form, ...how }),
    );
    for (const note of written.notes) progress.note(note);
    const same = taken.digest === digest ? 'with the same digest' : `as ${taken.digest}`;
    progress.note(`no copy of layer ${digest} is left; repacked from its files ${same}`);
    return { digest: taken.digest, size: taken.size, diffId: written.diffId, spooled: taken, isPacked: true };
  }

  async #fetch(layer: Descriptor): Promise<SpooledBlob> {
    const { digest, size: total } = layer;
    const event = (state: 'active' | 'done' | 'retrying', more: object): void =>
      this.#deps.progress.event({ v: 1, kind: 'blob', action: 'fetch', digest, state, total, ...more });
    const body = await readVerified(this.#job.source.blob(layer), {
      signal: this.#job.signal,
      onProgress: (transferred) => event('active', { transferred }),
      onRetry: (message) => event('retrying', { message }),
    });
    const spooled = await this.#job.spool.take(body, this.#job);
    event('done', { transferred: total });
    return spooled;
  }
}

/** The dependencies of `repackLayer`. */
export type WriteLayerDeps = Pick<ConvertDeps, 'recompressLayer' | 'progress'>;

/** Compresses a local layer in another form; without a form, only determines its diffID. */
export async function repackLayer(
  deps: WriteLayerDeps,
  work: {
    readonly fetched: Pick<SpooledBlob, 'digest' | 'size' | 'path'>;
    readonly form: LayerForm | undefined;
    readonly spool: LayerSpool;
    readonly signal: AbortSignal;
  },
): Promise<ConvertedLayer> {
  const { fetched, form, spool, signal } = work;
  const { digest, size, path } = fetched;
  const take = async (output: PassThrough): Promise<SpooledBlob | undefined> => {
    if (form !== undefined) return spool.take(output, { signal });
    output.resume();
    return undefined;
  };
  const { written, taken } = await writeLayer(deps, { digest, take, signal }, (how) =>
    deps.recompressLayer({ path, compression: form?.compression ?? 'none', level: form?.level, ...how }),
  );
  if (taken !== undefined && taken.digest !== digest)
    deps.progress.note(`layer ${digest} compressed with ${form!.compression} is ${taken.digest}`);
  return { digest: taken?.digest ?? digest, size: taken?.size ?? size, diffId: written.diffId, spooled: taken };
}

/** Writes a layer into `take` and reports progress. `digest`: that of the original layer. */
async function writeLayer<Written extends { readonly tarSize: number }, Taken>(
  { progress }: WriteLayerDeps,
  how: {
    readonly digest: Digest;
    readonly take: (output: PassThrough) => Promise<Taken>;
    readonly signal: AbortSignal;
  },
  write: (how: {
    readonly output: Writable;
    readonly signal: AbortSignal;
    readonly onProgress: (transferred: number) => void;
  }) => Promise<Written>,
): Promise<{ readonly written: Written; readonly taken: Taken }> {
  const { digest, take, signal } = how;
  const event = (state: 'active' | 'done', more: object): void =>
    progress.event({ v: 1, kind: 'layer', action: 'pack', digest, state, ...more });
  const output = new PassThrough();
  const onProgress = (transferred: number): void => event('active', { transferred });
  const [written, taken] = await bothOrFirstError(write({ output, signal, onProgress }), take(output));
  event('done', { total: written.tarSize, transferred: written.tarSize });
  return { written, taken };
}

function parseFact(text: string | undefined): Omit<ConvertedLayer, 'spooled'> | undefined {
  if (text === undefined) return undefined;
  try {
    const { digest, size, diffId } = JSON.parse(text) as Partial<Omit<ConvertedLayer, 'spooled'>>;
    if (!isDigest(digest) || !isDigest(diffId) || !Number.isSafeInteger(size)) return undefined;
    return { digest, size: size!, diffId };
  } catch {
    return undefined;
  }
}
