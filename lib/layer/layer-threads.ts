import { onAbort } from '../util/index.js';
import type { InflateEngineName } from './compression/inflate-engines.js';
import { JobThread } from './job-thread.js';
import { allocateRing, RingControl } from './ring.js';
import { StoppedError } from './stopped-error.js';
import type { AppliedLayer, LayerInput } from './types.js';
import {
  workerError,
  type InflateJob,
  type InflateResult,
  type UnpackJob,
  type UnpackResult,
  type WorkerData,
} from './worker-protocol.js';

const PROGRESS_INTERVAL_MS = 100;

/** Two threads that unpack or index one layer at a time: one inflates and hashes it, the other reads the tar. */
export class LayerThreads {
  readonly #ring = allocateRing();
  readonly #control = new RingControl(this.#ring);
  readonly #inflater: JobThread<InflateJob, InflateResult>;
  readonly #unpacker: JobThread<UnpackJob, UnpackResult>;

  /** Starts the threads. */
  constructor(inflateEngine: InflateEngineName | undefined) {
    const workerData: WorkerData = { ring: this.#ring, inflateEngine };
    this.#inflater = new JobThread('./inflate-worker.js', workerData);
    this.#unpacker = new JobThread('./unpack-worker.js', workerData);
  }

  /** Throws as `LayerApplier.apply`; StoppedError when `signal` is aborted. */
  async apply(
    { fd, growing, onProgress }: Pick<LayerInput, 'fd' | 'growing' | 'onProgress'>,
    job: UnpackJob,
    signal: AbortSignal,
  ): Promise<AppliedLayer> {
    this.#control.reset();
    const stop = (): void => {
      this.#control.stop();
      growing.wake();
    };
    if (signal.aborted) throw new StoppedError();
    const forgetAbort = onAbort(signal, stop);
    const timer = onProgress && setInterval(() => onProgress(this.#control.consumedBytes), PROGRESS_INTERVAL_MS);
    try {
      const jobs = [this.#inflater.run({ fd, growing: growing.shared }), this.#unpacker.run(job)] as const;
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
      if (failures[0] !== undefined) throw failures[0];
      if (inflated.status === 'rejected' || unpacked.status === 'rejected') throw new Error('a worker thread ended');
      if (inflated.value.kind !== 'done' || unpacked.value.kind !== 'done') throw new StoppedError();
      const { diffId, size, compression, notes } = inflated.value.result;
      const { entries, notes: more } = unpacked.value.result;
      return { diffId, size, compression, entries, notes: [...notes, ...more] };
    } finally {
      clearInterval(timer);
      forgetAbort();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#inflater.close(), this.#unpacker.close()]);
  }
}
