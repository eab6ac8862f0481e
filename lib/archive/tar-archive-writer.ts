import type { Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import {
  digestAlgorithm,
  MEDIA_TYPE,
  parseManifest,
  type Descriptor,
  type Digest,
  type RawManifest,
  type ReopenableBlob,
  type PutBlobOptions,
} from '../spec/index.js';
import { moveName, type DockerEntry } from './docker-listing.js';
import { OCI_LAYOUT, setName } from './oci-index.js';
import { blobPath } from './oci-layout-reader.js';
import { TarOutput } from './tar-output.js';
import type { ArchiveName, ImageArchiveWriter } from './types.js';
import { verified } from './verified.js';

/**
 * Writes an OCI layout as a tar. A docker-archive also has a `manifest.json` for the same blobs, as saved by docker
 * since version 25. Old readers find the format they know, and new ones get the original bytes.
 */
export class TarArchiveWriter implements ImageArchiveWriter {
  readonly format: 'oci-archive' | 'docker-archive';
  readonly #tar: TarOutput;
  readonly #put = new Set<Digest>();
  readonly #directories = new Set<string>();
  readonly #docker = new Map<Digest, DockerEntry>();
  #index: Descriptor[] = [];
  #begun: Promise<void> | undefined;

  constructor(format: 'oci-archive' | 'docker-archive', output: Writable, mtime: number) {
    this.format = format;
    this.#tar = new TarOutput(output, mtime);
  }

  has({ digest }: Pick<Descriptor, 'digest'>): Promise<boolean> {
    return Promise.resolve(this.#put.has(digest));
  }

  async putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    const { digest, size } = blob.descriptor;
    if (this.#put.has(digest)) return;
    this.#put.add(digest);
    try {
      await this.#begin(digest);
      await this.#tar.addFile(blobPath(digest), size, verified(blob, options));
    } catch (error) {
      this.#put.delete(digest);
      throw error;
    }
  }

  async putManifest({ bytes, descriptor: { digest } }: RawManifest): Promise<void> {
    if (this.#put.has(digest)) return;
    this.#put.add(digest);
    await this.#begin(digest);
    await this.#tar.addBytes(blobPath(digest), bytes);
  }

  // Async, so that all errors reject.
  // oxlint-disable-next-line typescript/require-await
  async addImage(manifest: RawManifest, name: ArchiveName): Promise<void> {
    this.#index = setName(this.#index, manifest.descriptor, name);
    if (this.format !== 'docker-archive') return;
    const { bytes, descriptor } = manifest;
    const document = parseManifest(bytes, descriptor.mediaType, `manifest ${descriptor.digest}`);
    if (document.kind === 'index') {
      throw new UsageError('a docker-archive holds single images, not an index', { hint: 'choose one platform' });
    }
    const entry: DockerEntry = this.#docker.get(descriptor.digest) ?? {
      Config: blobPath(document.config.digest),
      RepoTags: [],
      Layers: document.layers.map((layer) => blobPath(layer.digest)),
    };
    if (name.name !== undefined) moveName(this.#docker.values(), entry, name.name);
    this.#docker.set(descriptor.digest, entry);
  }

  async finish(): Promise<void> {
    const json = (name: string, document: unknown): Promise<void> =>
      this.#tar.addBytes(name, Buffer.from(JSON.stringify(document)));
    await json('index.json', { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: this.#index });
    if (this.format === 'docker-archive') await json('manifest.json', [...this.#docker.values()]);
    await this.#tar.finish();
  }

  discard(): Promise<void> {
    return this.#tar.discard();
  }

  /** Writes the members before the first blob, and the directory of this one. */
  async #begin(digest: Digest): Promise<void> {
    this.#begun ??= this.#tar
      .addBytes('oci-layout', Buffer.from(OCI_LAYOUT))
      .then(() => this.#tar.addDirectory('blobs'));
    await this.#begun;
    const directory = `blobs/${digestAlgorithm(digest)}`;
    if (this.#directories.has(directory)) return;
    this.#directories.add(directory);
    await this.#tar.addDirectory(directory);
  }
}
