import type { ImageRecord } from '../../metadata/index.js';
import { MAX_CONFIG_BYTES, v1ImagesFrom, type Digest, type V1ImageOfLayer } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** An image of the store as v1 images, as `v1ImagesFrom`. Throws NotFoundError besides. */
export async function v1ImagesOf(
  deps: Pick<OperationDeps, 'content' | 'metadata'>,
  record: ImageRecord,
): Promise<V1ImageOfLayer[]> {
  const read = (digest: Digest): Promise<Buffer> => deps.content.read(digest, { maxBytes: MAX_CONFIG_BYTES });
  const config = await read(record.config.digest);
  const others = await deps.metadata.images.list();
  return v1ImagesFrom({ ...record, config }, async (chainId) => {
    const below = others.find(({ chainIds, id }) => chainIds.at(-1) === chainId && id !== record.id);
    return below === undefined ? undefined : read(below.config.digest);
  });
}
