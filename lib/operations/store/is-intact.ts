import { DigestMismatchError } from '../../errors.js';
import type { Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** Whether a blob is in the store with the bytes that its digest says; reads them all. */
export async function isIntact(
  content: OperationDeps['content'],
  { digest }: Pick<Descriptor, 'digest'>,
): Promise<boolean> {
  if ((await content.stat(digest)) === undefined) return false;
  try {
    for await (const _chunk of await content.open(digest));
    return true;
  } catch (error) {
    if (error instanceof DigestMismatchError) return false;
    throw error;
  }
}
