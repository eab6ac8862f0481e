import {
  DigestMismatchError,
  LayerFormatError,
  PathEscapeError,
  StoreError,
  UnsupportedMediaTypeError,
} from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { isIntact } from '../store/index.js';

/** Errors that a damaged blob can cause. */
const SYMPTOMS = [DigestMismatchError, LayerFormatError, PathEscapeError, UnsupportedMediaTypeError];

/**
 * After `error`, checks blobs that were already in the store, and deletes those damaged by a crash or the disk.
 * Resolves with true if there were any, so that another attempt makes sense.
 */
export async function dropDamagedBlobs(
  deps: Pick<OperationDeps, 'content' | 'progress'>,
  error: unknown,
  digests: readonly Digest[],
): Promise<boolean> {
  const dropped = await deleteDamagedBlobs(deps, error, digests);
  for (const digest of dropped) deps.progress.note(`blob ${digest} in the store is damaged: fetching it again`);
  return dropped.length > 0;
}

/**
 * The error to throw after `error` if there is no other attempt: `error` itself, or a StoreError if the disk has
 * damaged a verified blob, which is deleted.
 */
export async function damagedBlobError(
  error: unknown,
  { content }: Pick<OperationDeps, 'content'>,
  digests: readonly Digest[],
): Promise<unknown> {
  const [digest] = await deleteDamagedBlobs({ content }, error, digests);
  if (digest === undefined) return error;
  return new StoreError(`the disk lost bytes of blob ${digest} after they were verified`, {
    path: content.path(digest),
    hint: 'see that the disk has room and is sound, then run the same command again',
    cause: error,
  });
}

/** Deletes damaged blobs like `dropDamagedBlobs`, without notes. Resolves with their digests. */
export async function deleteDamagedBlobs(
  { content }: Pick<OperationDeps, 'content'>,
  error: unknown,
  digests: readonly Digest[],
): Promise<Digest[]> {
  const deleted: Digest[] = [];
  if (!SYMPTOMS.some((symptom) => error instanceof symptom)) return deleted;
  for (const digest of new Set(digests)) {
    if ((await content.stat(digest)) === undefined || (await isIntact(content, { digest }))) continue;
    await content.delete(digest);
    deleted.push(digest);
  }
  return deleted;
}
