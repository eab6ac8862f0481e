import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ArchiveFormatError, UsageError } from '../errors.js';
import {
  digestAlgorithm,
  digestOf,
  isIndexType,
  isManifestType,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  parseJson,
  parseManifest,
  type Descriptor,
  type Digest,
  type RawManifest,
  type ReopenableBlob,
  type PutBlobOptions,
} from '../spec/index.js';
import { TEMPORARY_PREFIX, writeFileAtomic } from '../util/index.js';
import { OCI_LAYOUT, setName } from './oci-index.js';
import { blobPath, parseIndex } from './oci-layout-reader.js';
import { SharedDirectory } from './shared-directory.js';
import type { ArchiveName, ImageArchiveWriter } from './types.js';
import { verified } from './verified.js';

/**
 * Adds images to an OCI layout directory, which is created if missing. Safe for concurrent processes: complete blobs
 * are renamed into place, and index.json is changed under a lock on the directory. The next writer removes the remains
 * of a killed one.
 */
export class OciDirectoryWriter implements ImageArchiveWriter {
  readonly format = 'oci-dir';
  readonly #root: string;
  readonly #directory: SharedDirectory;
  readonly #images: { readonly descriptor: Descriptor; readonly name: ArchiveName }[] = [];

  private constructor(root: string, signal: AbortSignal) {
    this.#root = root;
    this.#directory = new SharedDirectory(root, signal);
  }

  /** Throws UsageError (not a directory, or one with other files), ArchiveFormatError (another version). */
  static async open(root: string, signal: AbortSignal): Promise<OciDirectoryWriter> {
    const writer = new OciDirectoryWriter(root, signal);
    await writer.#directory.locked(async () => {
      await writer.#begin();
      await writer.#directory.sweep();
    });
    return writer;
  }

  async has({ digest, size }: Descriptor): Promise<boolean> {
    return (await stat(join(this.#root, blobPath(digest))).catch(() => undefined))?.size === size;
  }

  /** Others write layouts that contain an index and only some of its images. */
  hasManifest(descriptor: Descriptor): Promise<boolean> {
    return this.#isWhole(descriptor, new Set());
  }

  async putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    if (!(await this.has(blob.descriptor)))
      await this.#directory.write(blobPath(blob.descriptor.digest), verified(blob, options));
  }

  async putManifest({ bytes, descriptor }: RawManifest): Promise<void> {
    if (!(await this.has(descriptor))) await this.#directory.write(blobPath(descriptor.digest), [bytes]);
  }

  addImage({ descriptor }: RawManifest, name: ArchiveName): Promise<void> {
    this.#images.push({ descriptor, name });
    return Promise.resolve();
  }

  async finish(): Promise<void> {
    await this.#directory.locked(async () => {
      const path = join(this.#root, 'index.json');
      const old = await this.#directory.readIfThere('index.json');
      const document = (old === undefined ? {} : parseJson(old, 'index.json')) as object;
      let manifests = old === undefined ? [] : parseIndex(old, this.#root);
      for (const { descriptor, name } of this.#images) manifests = setName(manifests, descriptor, name);
      const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, ...document, manifests };
      await writeFileAtomic(path, JSON.stringify(index), 0o644);
    });
  }

  discard(): Promise<void> {
    return Promise.resolve();
  }

  /** `seen`: manifests that were already checked. */
  async #isWhole(descriptor: Descriptor, seen: Set<Digest>): Promise<boolean> {
    const { digest, mediaType, size } = descriptor;
    if (seen.has(digest)) return true;
    seen.add(digest);
    if (size > MAX_MANIFEST_BYTES || !(await this.has(descriptor))) return false;
    const bytes = await readFile(join(this.#root, blobPath(digest)));
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) return false;
    const document = parseManifest(bytes, mediaType, `manifest ${digest}`);
    const named = document.kind === 'index' ? document.manifests : [document.config, ...document.layers];
    for (const entry of named) {
      const isManifest = isIndexType(entry.mediaType) || isManifestType(entry.mediaType);
      if (!(await (isManifest ? this.#isWhole(entry, seen) : this.has(entry)))) return false;
    }
    return true;
  }

  /** Creates a layout, or checks an existing one. */
  async #begin(): Promise<void> {
    const path = join(this.#root, 'oci-layout');
    const text = await this.#directory.readIfThere('oci-layout');
    if (text === undefined) {
      const others = (await readdir(this.#root)).filter(
        (name) => name !== 'blobs' && !name.startsWith(TEMPORARY_PREFIX),
      );
      if (others.length > 0) {
        throw new UsageError(`${this.#root} contains other files and is not an OCI layout`, {
          hint: 'specify a new or empty directory, or an OCI layout',
        });
      }
      await writeFileAtomic(path, OCI_LAYOUT, 0o644);
      return;
    }
    const version: unknown = (parseJson(text, 'oci-layout') as { imageLayoutVersion?: unknown } | null)
      ?.imageLayoutVersion;
    if (typeof version === 'string' && version.startsWith('1.')) return;
    throw new ArchiveFormatError(
      `${this.#root} is an OCI layout of version ${JSON.stringify(version)?.slice(0, 50)}, not 1`,
    );
  }
}
