import { INFLATE_ENGINES, type InflateEngineName } from './compression/inflate-engines.js';
import { onAbort } from '../util/index.js';
import { JobThread } from './job-thread.js';
import { allocateRing, RingControl } from './ring.js';
import type { AppliedLayer, IndexInput, LayerApplier, LayerIndexer, LayerInput } from './types.js';
import {
  workerError,
  type InflateJob,
  type InflateResult,
  type UnpackJob,
  type UnpackResult,
  type WorkerData,
} from './worker-protocol.js';

/** Options of `createLayerApplier`. */
export interface LayerApplierOptions {
  /**
   * The engine that inflates gzip layers.
   * @default the environment variable IMGTOOL_INFLATE, else the first of `isal`, `zlib-sync`, `node` that loads
   */
  readonly inflateEngine?: InflateEngineName;
}

const PROGRESS_INTERVAL_MS = 100;

/** Starts the two worker threads; `close` ends them. An idle applier does not keep the process alive. */
export function createLayerApplier(options: LayerApplierOptions = {}): LayerApplier {
  return new ThreadedApplier(options.inflateEngine ?? engineFromEnvironment());
}

/** Like `createLayerApplier`, for indexing layers. */
export function createLayerIndexer(options: LayerApplierOptions = {}): LayerIndexer {
  return new ThreadedApplier(options.inflateEngine ?? engineFromEnvironment());
}

function engineFromEnvironment(): InflateEngineName | undefined {
  const wanted = process.env['IMGTOOL_INFLATE'];
  return INFLATE_ENGINES.find((name) => name === wanted);
}

class ThreadedApplier implements LayerApplier, LayerIndexer {
  readonly #ring = allocateRing();
  readonly #control = new RingControl(this.#ring);
  readonly #inflater: JobThread<InflateJob, InflateResult>;
  readonly #unpacker: JobThread<UnpackJob, UnpackResult>;
  #last: Promise<unknown> = Promise.resolve();
  #stopCurrent: () => void = () => undefined;
  #closed = false;

  constructor(inflateEngine: InflateEngineName | undefined) {
    const workerData: WorkerData = { ring: this.#ring, inflateEngine };
    this.#inflater = new JobThread('./inflate-worker.js', workerData);
    this.#unpacker = new JobThread('./unpack-worker.js', workerData);
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
    this.#stopCurrent();
    await this.#last;
    await Promise.all([this.#inflater.close(), this.#unpacker.close()]);
  }

  async #run(input: Omit<LayerInput, 'root'>, job: UnpackJob): Promise<AppliedLayer> {
    if (this.#closed) throw new Error('the layer applier is closed');
    input.signal.throwIfAborted();
    this.#control.reset();
    const stop = (): void => {
      this.#control.stop();
      input.growing.wake();
    };
    this.#stopCurrent = stop;
    const forgetAbort = onAbort(input.signal, stop);
    const timer =
      input.onProgress && setInterval(() => input.onProgress!(this.#control.consumedBytes), PROGRESS_INTERVAL_MS);
    try {
      const jobs = [
        this.#inflater.run({ fd: input.fd, growing: input.growing.shared }),
        this.#unpacker.run(job),
      ] as const;
      const failures: Error[] = [];
      for (const job of jobs)
        job.then(
          (reply) => {
            if (reply.kind === 'failed') failures.push(workerError(reply.failure));
            if (reply.kind !== 'done') stop();
          },
          (error: Error) => {
            failures.push(error);
            stop();
          },
        );
      const [inflated, unpacked] = await Promise.allSettled(jobs);
      // The first failure is the cause; the other thread then only reports that it was stopped.
      input.signal.throwIfAborted();
      if (failures[0] !== undefined) throw failures[0];
      if (inflated.status === 'rejected' || unpacked.status === 'rejected') throw new Error('a worker thread ended');
      if (inflated.value.kind !== 'done' || unpacked.value.kind !== 'done')
        throw new DOMException('the layer applier was closed', 'AbortError');
      const { diffId, size, compression, notes } = inflated.value.result;
      input.onProgress?.(size);
      return {
        diffId,
        size,
        compression,
        entries: unpacked.value.result.entries,
        notes: [...notes, ...unpacked.value.result.notes],
      };
    } finally {
      clearInterval(timer);
      forgetAbort();
      this.#stopCurrent = () => undefined;
    }
  }
}
