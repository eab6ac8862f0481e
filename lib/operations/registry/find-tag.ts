import { NotFoundError } from '../../errors.js';
import type { RepositoryReader } from '../../registry/index.js';
import type { Descriptor } from '../../spec/index.js';

/** HEAD of a tag; undefined when there is none. Throws what the registry throws otherwise. */
export async function findTag(
  reader: RepositoryReader,
  tag: string,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  try {
    return await reader.resolve({ tag }, { signal });
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
