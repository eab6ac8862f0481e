import { open, type FileHandle } from 'node:fs/promises';

/** An open file, and what it was said to be. */
export interface LeasedFile {
  readonly handle: FileHandle;
  readonly size: number;
  readonly mediaType: string | undefined;
}

interface Lease extends LeasedFile {
  timer: NodeJS.Timeout;
}

/** Of a store with thousands of tags a mirror asks for each. */
const MAX_LEASES = 256;

/**
 * Keeps files open for a while after they were last asked for: a deleted one can be opened again as long. Takes the place of
 * a lock, which would keep others from deleting.
 */
export class BlobLeases {
  readonly #leases = new Map<string, Lease>();
  readonly #keepMs: number;

  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  /** Holds the file at `path`, if it is there, under `key`. */
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

  /** Opens what is held; the caller closes it. */
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

  /** Also makes it the last one to be dropped for room. */
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
