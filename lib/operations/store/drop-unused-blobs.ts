import { ImgtoolError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

type Deps = Pick<OperationDeps, 'content' | 'metadata'>;

/**
 * Deletes those of `digests` that no image and no layer uses. If another process is working in the store, and so may
 * have found them, they are left to `store gc`. Ignores imgtool's errors.
 */
export async function dropUnusedBlobs(deps: Deps, digests: readonly Digest[]): Promise<void> {
  if (digests.length > 0) await cleanUpAlone(deps, () => deleteUnusedBlobs(deps, digests));
}

/**
 * Runs `work` unless another process is working in the store. Ignores imgtool's errors, because an earlier error
 * matters more to the user.
 */
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

/** Deletes those of `digests` that no image and no layer uses. Requires the store's lock in exclusive mode. */
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
 * Blobs that a command has added to the store for an image that is not recorded yet. `drop` removes them unless they
 * are in use by then.
 */
export class NewBlobs {
  readonly #digests = new Set<Digest>();

  add(digest: Digest): void {
    this.#digests.add(digest);
  }

  /** Keeps the blobs in the store, for an image or for a later run that resumes. */
  keep(): void {
    this.#digests.clear();
  }

  /** Must not be called with the store's lock. Throws as `dropUnusedBlobs`. */
  async drop(deps: Deps): Promise<void> {
    await dropUnusedBlobs(deps, [...this.#digests]);
  }
}
