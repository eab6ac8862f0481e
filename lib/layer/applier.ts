import { onAbort } from '../util/index.js';
import { INFLATE_ENGINES, type InflateEngineName } from './compression/inflate-engines.js';
import { LayerThreads } from './layer-threads.js';
import { SmallLayers } from './small-layers.js';
import { StoppedError } from './stopped-error.js';
import type { AppliedLayer, IndexInput, LayerApplier, LayerIndexer, LayerInput } from './types.js';
import type { UnpackJob } from './worker-protocol.js';

/** Options of `createLayerApplier`. */
export interface LayerApplierOptions {
  /**
   * The engine that inflates gzip layers.
   * @default the environment variable IMGTOOL_INFLATE, else the first of `isal`, `zlib-sync`, `node` that loads
   */
  readonly inflateEngine?: InflateEngineName;
  /**
   * Unpack small layers in worker threads too.
   * @default false
   */
  readonly threadsOnly?: boolean;
}

/** `close` ends its threads. An idle applier does not keep the process alive. */
export function createLayerApplier(options: LayerApplierOptions = {}): LayerApplier {
  return new Applier(options);
}

/** Like `createLayerApplier`, for indexing layers. */
export function createLayerIndexer(options: LayerApplierOptions = {}): LayerIndexer {
  return new Applier(options);
}

function engineFromEnvironment(): InflateEngineName | undefined {
  const wanted = process.env['IMGTOOL_INFLATE'];
  return INFLATE_ENGINES.find((name) => name === wanted);
}

class Applier implements LayerApplier, LayerIndexer {
  readonly #engine: InflateEngineName | undefined;
  readonly #small: SmallLayers | undefined;
  #threads: LayerThreads | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #current = new AbortController();
  #closed = false;

  constructor({ inflateEngine = engineFromEnvironment(), threadsOnly = false }: LayerApplierOptions) {
    this.#engine = inflateEngine;
    this.#small = threadsOnly ? undefined : new SmallLayers(inflateEngine);
  }

  apply(input: LayerInput): Promise<AppliedLayer> {
    return this.#enqueue(input, { root: input.root, plainNames: input.plainNames ?? false });
  }

  index(input: IndexInput): Promise<AppliedLayer> {
    return this.#enqueue(input, { index: input.index, data: input.data, plainNames: input.plainNames ?? false });
  }

  #enqueue(input: Omit<LayerInput, 'root'>, job: UnpackJob): Promise<AppliedLayer> {
    const result = this.#last.then(() => this.#run(input, job));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#current.abort();
    await this.#last;
    await this.#threads?.close();
  }

  async #run(input: Omit<LayerInput, 'root'>, job: UnpackJob): Promise<AppliedLayer> {
    if (this.#closed) throw new Error('the layer applier is closed');
    input.signal.throwIfAborted();
    const current = (this.#current = new AbortController());
    const forgetAbort = onAbort(input.signal, () => current.abort());
    try {
      const layer =
        (await this.#small?.apply(input, job, current.signal)) ??
        (await (this.#threads ??= new LayerThreads(this.#engine)).apply(input, job, current.signal));
      input.onProgress?.(layer.size);
      return layer;
    } catch (error) {
      input.signal.throwIfAborted();
      throw error instanceof StoppedError ? new DOMException('the layer applier was closed', 'AbortError') : error;
    } finally {
      forgetAbort();
    }
  }
}
