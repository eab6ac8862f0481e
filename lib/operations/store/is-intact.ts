import { DigestMismatchError } from '../../errors.js';
import type { Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** True when the store has a blob that matches its digest. Reads the whole blob. */
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
