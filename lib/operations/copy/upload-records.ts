import { createHash } from 'node:crypto';
import type { UploadRecord } from '../../metadata/index.js';
import type { UploadSession } from '../../registry/index.js';
import type { Descriptor, Digest, RepositoryName } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { isUnwritable } from '../store/index.js';

/** Records uploads to one repository in the local store, so that later processes can resume them. */
export class UploadRecords {
  readonly #deps: Pick<OperationDeps, 'metadata' | 'progress'>;
  readonly #target: RepositoryName;
  /** Start times of the uploads of earlier processes. */
  readonly #begun = new Map<Digest, string>();

  constructor(deps: Pick<OperationDeps, 'metadata' | 'progress'>, { host, repository }: RepositoryName) {
    this.#deps = deps;
    this.#target = { host, repository };
  }

  /**
   * Waits until no other process uploads the blob to the repository. Resolves with a function that releases the lock.
   * Throws AbortError.
   */
  async lock(
    blob: Descriptor,
    { signal, onWait }: { readonly signal: AbortSignal; readonly onWait: () => void },
  ): Promise<() => void> {
    const name = `upload-${this.#keyOf(blob)}`;
    const lock = await this.#deps.metadata.lock(name, { mode: 'exclusive', signal, onWait });
    return () => lock.release();
  }

  /** The upload session of an earlier process, if any. */
  async find(blob: Descriptor): Promise<UploadSession | undefined> {
    const record = await this.#deps.metadata.uploads.get(this.#keyOf(blob));
    if (record !== undefined) this.#begun.set(blob.digest, record.begun);
    return record;
  }

  /** Records the progress of an upload; undefined: it has ended. Only notes when the store is not writable. */
  async note(blob: Descriptor, session: UploadSession | undefined): Promise<void> {
    const { metadata, progress } = this.#deps;
    const { digest } = blob;
    const key = this.#keyOf(blob);
    try {
      if (session === undefined) return await metadata.uploads.delete(key);
      const begun = this.#begun.get(digest) ?? new Date().toISOString();
      this.#begun.set(digest, begun);
      const record: UploadRecord = { version: 1, key, ...this.#target, digest, ...session, begun };
      await metadata.uploads.put(key, record);
    } catch (error) {
      if (!isUnwritable(error)) throw error;
      progress.note(`the store cannot note how far the upload of ${digest} is: it cannot be resumed`);
    }
  }

  #keyOf({ digest }: Descriptor): string {
    const { host, repository } = this.#target;
    return createHash('sha256').update(`${host}/${repository}@${digest}`).digest('hex');
  }
}
