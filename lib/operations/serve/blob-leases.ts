import { open, type FileHandle } from 'node:fs/promises';

/** An open file and its media type. */
interface LeasedFile {
  readonly handle: FileHandle;
  readonly size: number;
  readonly mediaType: string | undefined;
}

interface Lease extends LeasedFile {
  timer: NodeJS.Timeout;
}

/** A mirror may request thousands of tags. */
const MAX_LEASES = 256;

/**
 * Keeps files open for a while after their last use, so that a deleted file can still be opened. Used in place of a lock,
 * which would prevent other processes from deleting files.
 */
export class BlobLeases {
  readonly #leases = new Map<string, Lease>();
  readonly #keepMs: number;

  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  /** Keeps the file at `path` open under `key`, if it exists. */
  async hold(key: string, path: string, mediaType?: string): Promise<void> {
    if (this.#leases.has(key)) return this.#extend(key);
    const handle = await open(path, 'r').catch(() => undefined);
    if (handle === undefined) return;
    const { size } = await handle.stat();
    // Another request may have come first.
    this.#drop(key);
    this.#leases.set(key, { handle, size, mediaType, timer: this.#timer(key) });
    if (this.#leases.size > MAX_LEASES) this.#drop(this.#leases.keys().next().value!);
  }

  /** Opens a leased file; the caller closes it. */
  async open(key: string): Promise<LeasedFile | undefined> {
    const lease = this.#leases.get(key);
    if (lease === undefined) return undefined;
    this.#extend(key);
    const handle = await open(`/proc/self/fd/${lease.handle.fd}`, 'r');
    return { handle, size: lease.size, mediaType: lease.mediaType };
  }

  close(): void {
    for (const key of [...this.#leases.keys()]) this.#drop(key);
  }

  /** Restarts the timer and moves the lease to the end of the queue for eviction. */
  #extend(key: string): void {
    const lease = this.#leases.get(key);
    if (lease === undefined) return;
    clearTimeout(lease.timer);
    lease.timer = this.#timer(key);
    this.#leases.delete(key);
    this.#leases.set(key, lease);
  }

  #timer(key: string): NodeJS.Timeout {
    return setTimeout(() => this.#drop(key), this.#keepMs).unref();
  }

  #drop(key: string): void {
    const lease = this.#leases.get(key);
    if (lease === undefined) return;
    clearTimeout(lease.timer);
    this.#leases.delete(key);
    void lease.handle.close();
  }
}
