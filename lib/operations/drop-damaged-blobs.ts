import { DigestMismatchError, LayerFormatError, PathEscapeError, UnsupportedMediaTypeError } from '../errors.js';
import type { Digest } from '../spec/index.js';
import type { OperationDeps } from './deps.js';

/** What a blob with other bytes than its name says may end in. */
const SYMPTOMS = [DigestMismatchError, LayerFormatError, PathEscapeError, UnsupportedMediaTypeError];

/**
 * After `error`: proves the blobs that were taken from the store as they are, and deletes those that a crash or the disk
 * has damaged. Resolves with whether there were any: then the work is worth another try.
 */
export async function dropDamagedBlobs(
  { content, progress }: Pick<OperationDeps, 'content' | 'progress'>,
  error: unknown,
  digests: readonly Digest[],
): Promise<boolean> {
  if (!SYMPTOMS.some((symptom) => error instanceof symptom)) return false;
  let dropped = false;
  for (const digest of new Set(digests)) {
    if ((await content.stat(digest)) === undefined || (await isIntact(content, digest))) continue;
    await content.delete(digest);
    progress.note(`blob ${digest} in the store is damaged: fetching it again`);
    dropped = true;
  }
  return dropped;
}

async function isIntact(content: OperationDeps['content'], digest: Digest): Promise<boolean> {
  try {
    for await (const _chunk of await content.open(digest));
    return true;
  } catch (error) {
    if (error instanceof DigestMismatchError) return false;
    throw error;
  }
}
