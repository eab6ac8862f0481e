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
}

/** What an image tells of a layer. */
export interface KnownLayer {
  /** 0 for the oldest. */
  readonly position: number;
  /** Undefined where the image does not declare it. */
  readonly diffId?: DiffId | undefined;
}

/** Converts layers of a source, each once; several may arrive meanwhile, one at a time is worked on, in constant memory. */
export class LayerConverter {
  readonly #deps: Omit<ConvertImageDeps, 'createSpool'>;
  readonly #source: ImageSource;
  readonly #spool: LayerSpool;
  readonly #signal: AbortSignal;
  /** Its engine works on one at a time. */
  readonly #turn = new Semaphore(1);
  readonly #done = new Map<string, Promise<ConvertedLayer>>();

  constructor(
    deps: Omit<ConvertImageDeps, 'createSpool'>,
    {
      source,
      spool,
      signal,
    }: { readonly source: ImageSource; readonly spool: LayerSpool; readonly signal: AbortSignal },
  ) {
    this.#deps = deps;
    this.#source = source;
    this.#spool = spool;
    this.#signal = signal;
  }

  /** A layer stays as it is where no other form is asked for. */
  isLost(): Promise<boolean> {
    return Promise.resolve(false);
  }

  /**
   * Fetches a layer and compresses it as `form` says; undefined: only its diffID is wanted. `diffId`: the one it should
   * have. Throws DigestMismatchError for another one, LayerFormatError, what the source throws, AbortError.
   */
  async convert(
    layer: Descriptor,
    form: LayerForm | undefined,
    { diffId: expected }: KnownLayer,
  ): Promise<ConvertedLayer> {
    const key = `${layer.digest} ${form?.compression} ${form?.level}`;
    const work = this.#done.get(key) ?? this.#recall(key, layer, form) ?? this.#convertNow(key, layer, form);
    this.#done.set(key, work);
    const converted = await work;
    if (expected === undefined || converted.diffId === expected) return converted;
    throw new DigestMismatchError(
      `layer ${layer.digest} is not what the config says: its diffID is ${converted.diffId}`,
      {
        expected,
        actual: converted.diffId,
        hint: 'the image is damaged at its source',
      },
    );
  }

  /** What it was converted to before: that is done again only where somebody lacks it. */
  #recall(key: string, layer: Descriptor, form: LayerForm | undefined): Promise<ConvertedLayer> | undefined {
    const fact = parseFact(this.#deps.facts?.get(`layer ${key}`));
    if (fact === undefined) return undefined;
    let again: Promise<ConvertedLayer> | undefined;
    const open: SpooledBlob['open'] = async (options) => {
      // Should it come out as something else, whoever reads it finds out, and the next copy begins without this fact.
      again ??= this.#convertNow(key, layer, form);
      return (await again).spooled!.open(options);
    };
    return Promise.resolve({ ...fact, spooled: form === undefined ? undefined : { open } });
  }

  async #convertNow(key: string, layer: Descriptor, form: LayerForm | undefined): Promise<ConvertedLayer> {
    const converted = await this.#convert(layer, form);
    const { digest, size, diffId } = converted;
    this.#deps.facts?.set(`layer ${key}`, JSON.stringify({ digest, size, diffId }));
    return converted;
  }

  async #convert(layer: Descriptor, form: LayerForm | undefined): Promise<ConvertedLayer> {
    const fetched = await this.#fetch(layer);
    try {
      return await this.#turn.run(() => {
        const how = { fetched, form, spool: this.#spool, signal: this.#signal };
        return repackLayer(this.#deps, how);
      });
    } finally {
      await fetched.drop();
    }
  }

  async #fetch(layer: Descriptor): Promise<SpooledBlob> {
    const { digest, size: total } = layer;
    const event = (state: 'active' | 'done' | 'retrying', more: object): void =>
      this.#deps.progress.event({ v: 1, kind: 'blob', action: 'fetch', digest, state, total, ...more });
    const body = await readVerified(this.#source.blob(layer), {
      signal: this.#signal,
      onProgress: (transferred) => event('active', { transferred }),
      onRetry: (message) => event('retrying', { message }),
    });
    const spooled = await this.#spool.take(body, { signal: this.#signal });
    event('done', { transferred: total });
    return spooled;
  }
}

/** What writing a layer anew needs. */
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
export async function writeLayer<Written extends { readonly tarSize: number }, Taken>(
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
