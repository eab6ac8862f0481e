import { NotFoundError } from '../../errors.js';
import type { RepositoryReader } from '../../registry/index.js';
import type { Descriptor } from '../../spec/index.js';

/** Resolves a tag with a HEAD request; undefined when it does not exist. Throws the other errors of the registry. */
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
