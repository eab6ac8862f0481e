import { Worker } from 'node:worker_threads';
import { CLOSE, READY, type WorkerReply } from './worker-protocol.js';

/** A worker that answers each message with one, in order. One that has nothing to do does not keep the process alive. */
export class JobThread<Job, Result> {
  readonly #worker: Worker;
  readonly #waiting: { resolve: (reply: WorkerReply<Result>) => void; reject: (error: Error) => void }[] = [];
  #closing = false;
  #dead: Error | undefined;

  /** Starts the worker in `file`, beside this one, which says READY when it has loaded. */
  constructor(file: string, workerData?: unknown) {
    // Descriptors are opened by system calls and passed between threads: node must not count them.
    this.#worker = new Worker(new URL(file, import.meta.url), {
      workerData,
      trackUnmanagedFds: false,
      // A thread prints them itself.
      execArgv: ['--no-warnings'],
    });
    // Not idle until it has loaded its native code: a process that ends meanwhile would crash.
    this.#worker.on('message', (reply: WorkerReply<Result> | typeof READY) => {
      if (reply !== READY) this.#waiting.shift()?.resolve(reply);
      if (this.#waiting.length === 0 && !this.#closing) this.#worker.unref();
    });
    this.#worker.on('error', (error: Error) => this.#die(error));
    this.#worker.on('exit', () => this.#die(new Error('a worker thread has ended')));
  }

  /** Jobs that are not answered yet. */
  get pending(): number {
    return this.#waiting.length;
  }

  /** Rejects when the thread has died. */
  run(job: Job): Promise<WorkerReply<Result>> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage(job);
    });
  }

  /** Lets the thread end by itself, after its jobs: one that is cut off while it loads native code takes the process down. */
  async close(): Promise<void> {
    if (this.#dead !== undefined) return;
    this.#closing = true;
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.ref();
    this.#worker.postMessage(CLOSE);
    await ended;
  }

  #die(error: Error): void {
    this.#dead ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#dead);
  }
}
