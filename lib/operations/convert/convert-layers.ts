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

/** What reading images as other ones needs. */
export interface ConvertDeps extends Pick<OperationDeps, 'recompressLayer'> {
  readonly progress: ProgressSink;
  /** Where layers wait while they are converted. */
  readonly temporaryDirectory: string;
  /** What is known of layers from before, so that not each has to be read again; undefined: nothing. */
  readonly facts?: LayerFacts | undefined;
}

/** What converting images needs. */
export interface ConvertImageDeps extends Pick<ConvertDeps, 'recompressLayer' | 'progress' | 'facts'> {
  /** Where layers wait; closed when the image is copied. */
  readonly createSpool: () => LayerSpool;
}

/** What layers become, by what they are; kept from copy to copy, and from run to run. */
export interface LayerFacts {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

/** A layer as it is to be. `level`: undefined keeps one that is compressed so already. */
export interface LayerForm {
  readonly compression: LayerCompression;
  readonly level: number | undefined;
}

/** A layer that was made; `spooled` undefined: it was only read, for its diffID. */
export interface ConvertedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: DiffId;
  readonly spooled: Pick<SpooledBlob, 'open'> | undefined;
  /** It was packed from files, so its diffID may be another one. */
  readonly isPacked?: boolean;
}

/** What layers are converted from and to. */
export interface LayerJob {
  readonly source: ImageSource;
  readonly spool: LayerSpool;
  /** Whether every destination has a blob, so that a lost one need not be packed. */
  readonly isThere: (blob: Descriptor) => Promise<boolean>;
  /** Fetches nothing for layers of the local store: what would have to be fetched keeps its digest. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** What an image tells of a layer. */
interface KnownLayer {
  /** 0 for the oldest. */
  readonly position: number;
  /** Undefined where the image does not declare it. */
  readonly diffId?: DiffId | undefined;
}

/**
 * Converts layers of a source, each once; several may arrive meanwhile, one at a time is worked on, in constant memory. A
 * layer of the local store of whose blob no copy is left is packed again from its files.
 */
export class LayerConverter {
  readonly #deps: Omit<ConvertImageDeps, 'createSpool'>;
  readonly #job: LayerJob;
  /** Its engine works on one at a time. */
  readonly #turn = new Semaphore(1);
  readonly #done = new Map<string, Promise<ConvertedLayer>>();

  constructor(deps: Omit<ConvertImageDeps, 'createSpool'>, job: LayerJob) {
    this.#deps = deps;
    this.#job = job;
  }

  /** Whether the layer cannot stay as it is, whatever form is asked for: no copy of its blob is left. */
  async isLost(layer: Descriptor): Promise<boolean> {
    const { source, isThere } = this.#job;
    return (await source.files?.where(layer)) === 'lost' && !(await isThere(layer));
  }

  /**
   * Fetches a layer and compresses it as `form` says; undefined: only its diffID is wanted. Throws DigestMismatchError when
   * it does not have the diffID it should have, LayerFormatError, NotFoundError, what the source throws, AbortError.
   */
  async convert(layer: Descriptor, form: LayerForm | undefined, known: KnownLayer): Promise<ConvertedLayer> {
    const { files } = this.#job.source;
    const key = `${layer.digest} ${form?.compression} ${form?.level}`;
    // Files of the same blob may have been packed with other bytes elsewhere in the image.
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

  /** What it was converted to before: that is done again only where somebody lacks it. */
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
      // If the result is different this time, the reader finds out, and the next copy starts without this fact.
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

/** Dependencies of `repackLayer`. */
export type WriteLayerDeps = Pick<ConvertDeps, 'recompressLayer' | 'progress'>;

/** Compresses what is here in another way; without a form only its diffID is found out. One call at a time. */
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

/** Writes a layer and takes what is written, telling how far it is. `digest`: of the layer it is made of. */
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
