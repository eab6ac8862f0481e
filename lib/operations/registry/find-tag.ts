import type { RepositoryReader } from '../../registry/index.js';
import type { Descriptor } from '../../spec/index.js';
import { ifFound } from '../../util/index.js';

/** Resolves a tag with a HEAD request; undefined when it does not exist. Throws the other errors of the registry. */
export function findTag(reader: RepositoryReader, tag: string, signal: AbortSignal): Promise<Descriptor | undefined> {
  return ifFound(reader.resolve({ tag }, { signal }));
}
