import { createGzip } from 'node:zlib';
import { Readable } from 'node:stream';
import { createHash } from 'node:crypto';
import {
  configOfV1,
  digestFrom,
  digestOf,
  EMPTY_LAYER,
  MEDIA_TYPE,
  ociImageOf,
  parseV1Image,
  type Descriptor,
  type Digest,
  type DiffId,
  type RawManifest,
} from '../../spec/index.js';
import type { Exchange } from '../exchange.js';
import type { RegistryStorage, RegistryWriter } from '../types.js';
import { tarOf } from './inspect-layer.js';
import type { ServedLayer, ServedV1Image } from './types.js';
import { v1Error } from './v1-error.js';

/** The image to tag: its chain of images, root first. */
export interface TagJob {
  readonly repository: string;
  readonly tag: string;
  readonly chain: readonly ServedV1Image[];
}

/**
 * Tags a v1 image, which turns it into a v2 image with a config and a manifest, readable over v2 from then on. An image
 * that is already a v2 image keeps its manifest. Throws RequestError.
 */
export async function tagImage(exchange: Exchange, { repository, tag, chain }: TagJob): Promise<void> {
  const { storage, writer } = exchange;
  const leaf = chain.at(-1)!;
  if (leaf.v2 !== undefined) return copyManifest(storage, writer, { ...leaf.v2, to: repository, tag });
  const layers: { blob: Descriptor; diffId: DiffId }[] = [];
  for (const { layer } of chain) layers.push(await addLayer(writer, repository, layer));
  const images = chain.map(({ json }) => parseV1Image(json));
  const diffIds = layers.map(({ diffId }) => diffId);
  const configBytes = configOfV1(images, diffIds);
  const { config, manifest } = ociImageOf(
    configBytes,
    layers.map(({ blob }) => blob),
  );
  await putBlob(writer, repository, config.digest, Readable.from([configBytes]));
  await storage.v1?.writer?.setImageOf(repository, manifest.descriptor.digest, leaf.id);
  await writer.putManifest(repository, { manifest, tag });
}

/** Adds a tag, or adds the unchanged image to another repository. */
async function copyManifest(
  storage: RegistryStorage,
  writer: RegistryWriter,
  { repository: from, manifest: digest, to, tag }: NonNullable<ServedV1Image['v2']> & { to: string; tag: string },
): Promise<void> {
  const manifest: RawManifest | undefined = await storage.findManifest(from, { digest });
  if (manifest === undefined) throw v1Error(404, 'Image not found');
  const { config, layers } = JSON.parse(manifest.bytes.toString()) as { config: Descriptor; layers: Descriptor[] };
  if (from !== to) for (const blob of [config, ...layers]) await writer.mountBlob(to, blob.digest, from);
  await writer.putManifest(to, { manifest, tag });
}

/** Adds a layer to the repository, in a form that is valid in manifests. */
async function addLayer(
  writer: RegistryWriter,
  repository: string,
  layer: ServedLayer | undefined,
): Promise<{ blob: Descriptor; diffId: DiffId }> {
  if (layer === undefined || layer.blob.size === 0) {
    const blob = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(EMPTY_LAYER), size: EMPTY_LAYER.length };
    await putBlob(writer, repository, blob.digest, Readable.from([EMPTY_LAYER]));
    return { blob, diffId: digestOf(Buffer.alloc(1024)) as DiffId };
  }
  const { blob, diffId } = layer;
  if (/xz|bzip2/.test(blob.mediaType)) return { blob: await recompress(writer, repository, layer), diffId };
  const { mediaType, digest, size } = blob;
  if (!(await writer.mountBlob(repository, digest))) throw v1Error(400, `Layer ${digest} is missing`);
  return { blob: { mediaType, digest, size }, diffId };
}

async function recompress(writer: RegistryWriter, repository: string, layer: ServedLayer): Promise<Descriptor> {
  const opened = await layer.open();
  if (opened === undefined) throw v1Error(400, `Layer ${layer.blob.digest} is missing`);
  try {
    const compression = layer.blob.mediaType.endsWith('xz') ? 'xz' : 'bzip2';
    const tar = Readable.from(tarOf(opened.handle, compression, new AbortController().signal), { objectMode: false });
    const gzip = createGzip();
    tar.on('error', (error) => gzip.destroy(error));
    const hash = createHash('sha256');
    let size = 0;
    const counted = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of tar.pipe(gzip) as AsyncIterable<Buffer>) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    };
    const digest = await putBlob(writer, repository, () => digestFrom(hash), counted());
    return { mediaType: MEDIA_TYPE.ociLayerGzip, digest, size };
  } finally {
    await opened.handle.close();
  }
}

async function putBlob(
  writer: RegistryWriter,
  repository: string,
  digest: Digest | (() => Digest),
  source: AsyncIterable<Buffer>,
): Promise<Digest> {
  if (typeof digest === 'string' && (await writer.mountBlob(repository, digest))) return digest;
  const upload = await writer.startUpload(repository);
  const turn = (await upload.acquire())!;
  try {
    await turn.append(source);
    const actual = typeof digest === 'string' ? digest : digest();
    await turn.commit(actual);
    return actual;
  } catch (error) {
    await turn.cancel();
    throw error;
  } finally {
    turn.release();
  }
}
