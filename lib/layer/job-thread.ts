import { Worker } from 'node:worker_threads';
import { CLOSE, READY, type WorkerReply } from './worker-protocol.js';

/** A worker thread that answers each message with one reply, in order. It does not keep the process alive while idle. */
export class JobThread<Job, Result> {
  readonly #worker: Worker;
  readonly #waiting: { resolve: (reply: WorkerReply<Result>) => void; reject: (error: Error) => void }[] = [];
  #closing = false;
  #dead: Error | undefined;

  /** Starts the worker `file` (relative to this module), which sends READY when it has loaded. */
  constructor(file: string, workerData?: unknown) {
    // File descriptors are opened by system calls and passed between threads, so node must not track them.
    this.#worker = new Worker(new URL(file, import.meta.url), {
      workerData,
      trackUnmanagedFds: false,
      // Otherwise each thread prints the warnings again.
      execArgv: ['--no-warnings'],
    });
    // Counts as busy until its native code has loaded: the process would crash if it ended during that.
    this.#worker.on('message', (reply: WorkerReply<Result> | typeof READY) => {
      if (reply !== READY) this.#waiting.shift()?.resolve(reply);
      if (this.#waiting.length === 0 && !this.#closing) this.#worker.unref();
    });
    this.#worker.on('error', (error: Error) => this.#die(error));
    this.#worker.on('exit', () => this.#die(new Error('a worker thread has ended')));
  }

  /** The number of unanswered jobs. */
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

  /** Lets the thread finish its jobs and end. Terminating it while it loads native code would crash the process. */
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
