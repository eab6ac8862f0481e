import { PassThrough } from 'node:stream';
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
import { readVerified, type Spool, type Spooled } from './spool.js';

/** What converting layers needs. */
export interface ConvertDeps extends Pick<OperationDeps, 'recompressLayer'> {
  readonly progress: ProgressSink;
  /** Where layers wait while they are converted. */
  readonly temporaryDirectory: string;
  /** What is known of layers from before, so that not each has to be read again; undefined: nothing. */
  readonly facts?: LayerFacts | undefined;
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
  readonly spooled: Pick<Spooled, 'open'> | undefined;
}

/** Converts layers of a source, each once; several may arrive meanwhile, one at a time is worked on, in constant memory. */
export class LayerConverter {
  readonly #deps: ConvertDeps;
  readonly #source: ImageSource;
  readonly #spool: Spool;
  readonly #signal: AbortSignal;
  /** Its engine works on one at a time. */
  readonly #turn = new Semaphore(1);
  readonly #done = new Map<string, Promise<ConvertedLayer>>();

  constructor(
    deps: ConvertDeps,
    { source, spool, signal }: { readonly source: ImageSource; readonly spool: Spool; readonly signal: AbortSignal },
  ) {
    this.#deps = deps;
    this.#source = source;
    this.#spool = spool;
    this.#signal = signal;
  }

  /**
   * Fetches a layer and compresses it as `form` says; undefined: only its diffID is wanted. `expected`: the diffID it
   * should have. Throws DigestMismatchError for another one, LayerFormatError, what the source throws, AbortError.
   */
  async convert(layer: Descriptor, form: LayerForm | undefined, expected?: DiffId): Promise<ConvertedLayer> {
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
    const open: Spooled['open'] = async (options) => {
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
      return await this.#turn.run(async () => {
        const how = { fetched, form, spool: this.#spool, signal: this.#signal };
        const converted = await repackLayer(this.#deps, how);
        if (form !== undefined && converted.digest !== layer.digest) {
          this.#deps.progress.note(`layer ${layer.digest} compressed with ${form.compression} is ${converted.digest}`);
        }
        return converted;
      });
    } finally {
      await fetched.drop();
    }
  }

  async #fetch(layer: Descriptor): Promise<Spooled> {
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

/** Compresses what is here in another way; without a form only its diffID is found out. One call at a time. */
export async function repackLayer(
  { progress, recompressLayer }: ConvertDeps,
  work: {
    readonly fetched: Spooled;
    readonly form: LayerForm | undefined;
    readonly spool: Spool;
    readonly signal: AbortSignal;
  },
): Promise<ConvertedLayer> {
  const { fetched, form, spool, signal } = work;
  const event = (transferred: number): void =>
    progress.event({ v: 1, kind: 'layer', action: 'pack', digest: fetched.digest, transferred, state: 'active' });
  const output = new PassThrough();
  const written = recompressLayer({
    path: fetched.path,
    compression: form?.compression ?? 'none',
    level: form?.level,
    output: form === undefined ? output.resume() : output,
    signal,
    onProgress: event,
  });
  const taken = form === undefined ? Promise.resolve(undefined) : spool.take(output, { signal });
  const [{ diffId, tarSize }, spooled] = await bothOrFirstError(written, taken);
  const { digest, size } = spooled ?? fetched;
  const done = { state: 'done', total: tarSize, transferred: tarSize } as const;
  progress.event({ v: 1, kind: 'layer', action: 'pack', digest: fetched.digest, ...done });
  return { digest, size, diffId, spooled };
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
