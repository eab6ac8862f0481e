import { gunzipSync } from 'node:zlib';
import type { ContentStore } from '../../lib/content/index.js';
import type { ImageRecord, MetadataStore } from '../../lib/metadata/index.js';
import { chainIds, digestOf, MEDIA_TYPE, type Descriptor, type DiffId } from '../../lib/spec/index.js';

/** Puts an OCI image of gzip layers into a store as a pull would, without unpacking it; resolves with its record. */
export async function storeImage(
  { content, metadata }: { readonly content: ContentStore; readonly metadata: MetadataStore },
  layers: readonly Buffer[],
  more: Partial<ImageRecord> = {},
): Promise<ImageRecord> {
  const put = async (mediaType: string, bytes: Buffer): Promise<Descriptor> => ({
    mediaType,
    digest: await content.put(bytes),
    size: bytes.length,
  });
  const diffIds = layers.map((blob) => digestOf(gunzipSync(blob)) as DiffId);
  const document = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } };
  const config = await put(MEDIA_TYPE.ociConfig, Buffer.from(JSON.stringify(document)));
  const described: Descriptor[] = [];
  for (const blob of layers) described.push(await put(MEDIA_TYPE.ociLayerGzip, blob));
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: described };
  const record: ImageRecord = {
    version: 1,
    id: config.digest,
    names: [],
    sources: [],
    manifest: await put(MEDIA_TYPE.ociManifest, Buffer.from(JSON.stringify(manifest, undefined, 1))),
    config,
    layers: described,
    diffIds,
    chainIds: chainIds(diffIds),
    platform: 'linux/amd64',
    pulled: '2024-01-01T00:00:00.000Z',
    ...more,
  };
  await metadata.images.put(record);
  return record;
}
