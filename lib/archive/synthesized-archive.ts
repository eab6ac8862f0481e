import { Readable } from 'node:stream';
import { ArchiveFormatError } from '../errors.js';
import type { Descriptor, Digest, RawManifest, ReopenableBlob } from '../spec/index.js';
import type { FileTree } from './file-tree.js';
import type { ArchivedImage, ArchiveFormat, ImageArchive } from './types.js';

/** An archive in a format without manifests: they are created when it is opened, and blobs are files with other names. */
export class SynthesizedArchive implements ImageArchive {
  readonly format: ArchiveFormat;
  readonly images: ArchivedImage[] = [];
  readonly #tree: FileTree;
  readonly #manifests = new Map<Digest, RawManifest>();
  readonly #blobs = new Map<Digest, string | Buffer>();

  constructor(tree: FileTree, format: ArchiveFormat) {
    this.#tree = tree;
    this.format = format;
  }

  /** Adds a blob that is a file of the archive. */
  addFile(digest: Digest, path: string): void {
    this.#blobs.set(digest, path);
  }

  /** Adds a blob from memory. */
  addBytes(digest: Digest, bytes: Buffer): void {
    this.#blobs.set(digest, bytes);
  }

  /** Adds an image whose blobs were added. */
  addImage(manifest: RawManifest, names: readonly string[]): void {
    this.#manifests.set(manifest.descriptor.digest, manifest);
    this.images.push({ descriptor: manifest.descriptor, names, refNames: [] });
  }

  // Async, so that all errors reject.
  // oxlint-disable-next-line typescript/require-await
  async manifest(digest: Digest): Promise<RawManifest> {
    const manifest = this.#manifests.get(digest);
    if (manifest === undefined) throw new ArchiveFormatError(`${this.#tree.title} has no manifest ${digest}`);
    return manifest;
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    return {
      descriptor,
      open: async (options) => {
        const blob = this.#blobs.get(descriptor.digest);
        if (blob === undefined) throw new ArchiveFormatError(`${this.#tree.title} has no blob ${descriptor.digest}`);
        if (typeof blob === 'string') return this.#tree.open(blob, options);
        return Readable.from([blob.subarray(options.offset)], { objectMode: false });
      },
    };
  }

  close(): Promise<void> {
    return this.#tree.close();
  }
}
