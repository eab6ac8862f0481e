import type { RepositoryReader } from '../../registry/index.js';
import type { Descriptor } from '../../spec/index.js';
import { ifFound } from '../../util/index.js';

/** HEAD of a tag; undefined when there is none. Throws what the registry throws otherwise. */
export function findTag(reader: RepositoryReader, tag: string, signal: AbortSignal): Promise<Descriptor | undefined> {
  return ifFound(reader.resolve({ tag }, { signal }));
}
