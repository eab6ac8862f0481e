import { ImgtoolError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

type Deps = Pick<OperationDeps, 'content' | 'metadata'>;

/**
 * Deletes those of `digests` that no image and no layer needs. While other processes work in the store, which may have found
 * one of them, they stay for `store gc`. Throws nothing that a user would have to hear of.
 */
export async function dropUnusedBlobs(deps: Deps, digests: readonly Digest[]): Promise<void> {
  if (digests.length > 0) await cleanUpAlone(deps, () => deleteUnusedBlobs(deps, digests));
}

/** Does `work` if no other process works in the store. Errors of imgtool are ignored: an earlier one matters to the user. */
export async function cleanUpAlone({ metadata }: Pick<Deps, 'metadata'>, work: () => Promise<void>): Promise<void> {
  const alone = await metadata.tryLock('store', 'exclusive');
  if (alone === undefined) return;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ImgtoolError)) throw error;
  } finally {
    alone.release();
  }
}

/** Deletes those of `digests` that no image and no layer needs. Call with the store locked for this process alone. */
export async function deleteUnusedBlobs({ content, metadata }: Deps, digests: Iterable<Digest>): Promise<void> {
  const [images, layers] = await Promise.all([metadata.images.list(), metadata.layers.list()]);
  const used = new Set([
    ...images.flatMap((image) => [image.config, image.manifest, ...image.layers].map(({ digest }) => digest)),
    ...images.flatMap(({ index }) => (index === undefined ? [] : [index.digest])),
    ...layers.flatMap(({ blob }) => (blob === undefined ? [] : [blob.digest])),
  ]);
  for (const digest of digests) if (!used.has(digest)) await content.delete(digest);
}

/**
 * Blobs that a command puts into the store for an image that it has yet to record: dropped at its end, unless something
 * uses them by then.
 */
export class NewBlobs {
  readonly #digests = new Set<Digest>();

  add(digest: Digest): void {
    this.#digests.add(digest);
  }

  /** Leaves them in the store, for an image or for a later run that resumes. */
  keep(): void {
    this.#digests.clear();
  }

  /** Call without the store's lock. Throws as `dropUnusedBlobs`. */
  async drop(deps: Deps): Promise<void> {
    await dropUnusedBlobs(deps, [...this.#digests]);
  }
}
