import { createHash } from 'node:crypto';
import { Readable, type Writable } from 'node:stream';
import { ArchiveFormatError, UsageError } from '../errors.js';
import {
  MAX_CONFIG_BYTES,
  COMPRESSION_HEAD_BYTES,
  chainIds,
  composeV1Images,
  digestFrom,
  digestHex,
  digestOf,
  familiarReference,
  isConfigType,
  parseImageConfig,
  parseManifest,
  parseReference,
  v1ImagesFrom,
  type Descriptor,
  type Digest,
  type RawManifest,
  type ReopenableBlob,
  type V1Image,
  type PutBlobOptions,
} from '../spec/index.js';
import { readRange } from '../util/index.js';
import { decompress, detectCompression } from './decompress.js';
import { moveName, type DockerEntry } from './docker-listing.js';
import { peek } from './peek.js';
import { spool } from './spool.js';
import { TarOutput } from './tar-output.js';
import type { ArchiveName, ImageArchiveWriter } from './types.js';
import { EMPTY_TAR } from './v1-archive-reader.js';
import { verified } from './verified.js';

/**
 * Writes images in Docker's first format, with a `manifest.json`, like docker 1.10 to 24. Layers are uncompressed files
 * named by their diffIDs, and the images' `layer.tar` are links to them. An image that was a v1 image before gets its
 * original form.
 */
export class V1ArchiveWriter implements ImageArchiveWriter {
  readonly format = 'v1';
  readonly #tar: TarOutput;
  readonly #temporaryDirectory: string;
  readonly #put = new Set<Digest>();
  readonly #configs = new Map<Digest, Buffer>();
  /** Members written so far; layers are identified by their diffIDs. */
  readonly #members = new Set<string>();
  /** v1 images written so far, with their content. */
  readonly #v1 = new Map<string, string>();
  readonly #repositories = new Map<string, Map<string, string>>();
  readonly #images = new Map<Digest, DockerEntry>();

  constructor(output: Writable, mtime: number, temporaryDirectory: string) {
    this.#tar = new TarOutput(output, mtime);
    this.#temporaryDirectory = temporaryDirectory;
  }

  has({ digest }: Pick<Descriptor, 'digest'>): Promise<boolean> {
    return Promise.resolve(this.#put.has(digest));
  }

  async putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    const { digest, size, mediaType } = blob.descriptor;
    if (this.#put.has(digest)) return;
    this.#put.add(digest);
    const bytes = verified(blob, options);
    if (isConfigType(mediaType)) return this.#putConfig(digest, size, bytes);
    const { head, rest } = await peek(bytes, COMPRESSION_HEAD_BYTES);
    const compression = detectCompression(head, `blob ${digest}`);
    if (compression === 'none') return this.#addOnce(layerName(digest), size, rest);
    await this.#putPlain(decompress(rest, compression, `blob ${digest}`), options.signal);
  }

  /** The format has no manifests. */
  putManifest({ descriptor }: RawManifest): Promise<void> {
    this.#put.add(descriptor.digest);
    return Promise.resolve();
  }

  async addImage({ bytes, descriptor }: RawManifest, { name }: ArchiveName): Promise<void> {
    const document = parseManifest(bytes, descriptor.mediaType, `manifest ${descriptor.digest}`);
    if (document.kind === 'index') {
      throw new UsageError('a v1 archive holds single images, not an index', { hint: 'choose one platform' });
    }
    const { digest } = document.config;
    const config = this.#configs.get(digest);
    if (config === undefined) throw new ArchiveFormatError(`config ${digest} was not written`);
    const diffIds = parseImageConfig(config, `config ${digest}`).rootfs.diff_ids;
    const layers = diffIds.map(layerName);
    if (layers.length !== document.layers.length || layers.some((layer) => !this.#members.has(layer))) {
      throw new ArchiveFormatError(`the layers of image ${digest} do not match its config`);
    }
    const parts = { config, layers: document.layers, diffIds, chainIds: chainIds(diffIds) };
    const original = (await v1ImagesFrom(parts)).map(({ image }) => image);
    const top = await this.#addV1Images(this.#clashes(original, layers) ? composeV1Images(config) : original, layers);
    const entry = this.#images.get(digest) ?? { Config: `${digestHex(digest)}.json`, RepoTags: [], Layers: layers };
    this.#images.set(digest, entry);
    if (name === undefined) return;
    moveName(this.#images.values(), entry, name);
    const { tag = 'latest', ...reference } = parseReference(name);
    const repository = familiarReference(reference);
    this.#repositories.set(repository, (this.#repositories.get(repository) ?? new Map<string, string>()).set(tag, top));
  }

  async finish(): Promise<void> {
    const json = (name: string, document: unknown): Promise<void> =>
      this.#tar.addBytes(name, Buffer.from(JSON.stringify(document)));
    await json('manifest.json', [...this.#images.values()]);
    const repositories = [...this.#repositories].map(([name, tags]) => [name, Object.fromEntries(tags)]);
    if (repositories.length > 0) await json('repositories', Object.fromEntries(repositories));
    await this.#tar.finish();
  }

  discard(): Promise<void> {
    return this.#tar.discard();
  }

  async #putConfig(digest: Digest, size: number, bytes: AsyncIterable<Buffer>): Promise<void> {
    if (size > MAX_CONFIG_BYTES) {
      throw new ArchiveFormatError(`config ${digest} is ${size} bytes, over the limit of ${MAX_CONFIG_BYTES}`);
    }
    const chunks: Buffer[] = [];
    for await (const chunk of bytes) chunks.push(chunk);
    const config = Buffer.concat(chunks);
    this.#configs.set(digest, config);
    await this.#addOnce(`${digestHex(digest)}.json`, config.length, [config]);
  }

  /** In a tar, the size precedes the content, so the content is stored in a file first. */
  async #putPlain(plain: Readable, signal: AbortSignal): Promise<void> {
    const { file, result } = await spool(plain, this.#temporaryDirectory, {
      signal,
      onCopy: async (branch) => {
        const hash = createHash('sha256');
        let size = 0;
        for await (const chunk of branch as AsyncIterable<Buffer>) {
          hash.update(chunk);
          size += chunk.length;
        }
        return { diffId: digestFrom(hash), size };
      },
    });
    try {
      const { diffId, size } = result;
      await this.#addOnce(layerName(diffId), size, readRange(file, 0, size, signal) as AsyncIterable<Buffer>);
    } finally {
      await file.close();
    }
  }

  /** Reports whether a different image has one of these IDs: an image ID from a v1 registry proves nothing. */
  #clashes(images: readonly V1Image[], layers: readonly string[]): boolean {
    return images.some(
      (image, i) => (this.#v1.get(image.id) ?? contentOf(image, layers[i])) !== contentOf(image, layers[i]),
    );
  }

  /** Writes the missing v1 images. Resolves with the ID of the top one. */
  async #addV1Images(images: readonly V1Image[], layers: readonly string[]): Promise<string> {
    for (const [i, image] of images.entries()) {
      const { id, bytes } = image;
      if (this.#v1.has(id)) continue;
      const layer = layers[i];
      this.#v1.set(id, contentOf(image, layer));
      await this.#tar.addDirectory(id);
      await this.#tar.addBytes(`${id}/VERSION`, Buffer.from('1.0'));
      await this.#tar.addBytes(`${id}/json`, bytes);
      if (layer === undefined) await this.#tar.addBytes(`${id}/layer.tar`, EMPTY_TAR);
      else await this.#tar.addLink(`${id}/layer.tar`, `../${layer}`);
    }
    return images.at(-1)!.id;
  }

  async #addOnce(name: string, size: number, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    if (this.#members.has(name)) {
      if (content instanceof Readable) content.destroy();
      return;
    }
    this.#members.add(name);
    await this.#tar.addFile(name, size, content);
  }
}

function contentOf({ bytes }: V1Image, layer: string | undefined): string {
  return digestOf(Buffer.concat([Buffer.from(`${layer ?? ''} `), bytes]));
}

function layerName(diffId: Digest): string {
  return `${digestHex(diffId)}.tar`;
}
