import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import type { Descriptor, RawManifest, ReopenableBlob, PutBlobOptions } from '../spec/index.js';
import { TEMPORARY_PREFIX, writeFileAtomic } from '../util/index.js';
import {
  blobFile,
  DIRECTORY_VERSION,
  KNOWN_VERSION,
  MANIFEST_FILE,
  manifestFile,
  VERSION_FILE,
} from './docker-directory.js';
import { SharedDirectory } from './shared-directory.js';
import type { ImageArchiveWriter } from './types.js';
import { verified } from './verified.js';

/** Files of a previous image, to be replaced. */
const OLD_FILE = /^([0-9a-f]{64,128}(\.manifest\.json)?|signature-\d+|[0-9a-f]{64}\.signature-\d+)$/;

/**
 * Writes one image into a directory in skopeo's `dir:` format, replacing a previous image. Creates the directory if
 * missing. The previous image stays complete until the new one is.
 */
export class DockerDirectoryWriter implements ImageArchiveWriter {
  readonly format = 'docker-dir';
  readonly #directory: SharedDirectory;
  /** Names of the new image's files. */
  readonly #files = new Set<string>();
  #top: RawManifest | undefined;

  private constructor(directory: SharedDirectory) {
    this.#directory = directory;
  }

  /** Throws UsageError when `root` is not a directory or contains other files. */
  static async open(root: string, signal: AbortSignal): Promise<DockerDirectoryWriter> {
    const directory = new SharedDirectory(root, signal);
    await directory.locked(async () => {
      const version = await directory.readIfThere(VERSION_FILE);
      const others = (await readdir(root)).filter((name) => !name.startsWith(TEMPORARY_PREFIX));
      if (version === undefined ? others.length > 0 : !KNOWN_VERSION.test(version.toString('latin1'))) {
        throw new UsageError(`${root} contains other files and is not a directory of the dir: format`, {
          hint: 'specify a new or empty directory, or one written by copy, save or skopeo',
        });
      }
      if (version === undefined) await writeFileAtomic(join(root, VERSION_FILE), DIRECTORY_VERSION, 0o644);
      await directory.sweep();
    });
    return new DockerDirectoryWriter(directory);
  }

  async has({ digest, size }: Descriptor): Promise<boolean> {
    const name = blobFile(digest);
    const isThere = (await stat(join(this.#directory.path, name)).catch(() => undefined))?.size === size;
    if (isThere) this.#files.add(name);
    return isThere;
  }

  hasManifest({ digest }: Descriptor): Promise<boolean> {
    return Promise.resolve(this.#files.has(manifestFile(digest)));
  }

  async putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    if (await this.has(blob.descriptor)) return;
    const name = blobFile(blob.descriptor.digest);
    await this.#directory.write(name, verified(blob, options));
    this.#files.add(name);
  }

  async putManifest({ bytes, descriptor }: RawManifest): Promise<void> {
    const name = manifestFile(descriptor.digest);
    await this.#directory.write(name, [bytes]);
    this.#files.add(name);
  }

  addImage(manifest: RawManifest): Promise<void> {
    if (this.#top !== undefined && this.#top.descriptor.digest !== manifest.descriptor.digest) {
      throw new UsageError('a dir: directory holds a single image', {
        hint: 'use a separate directory for each image',
      });
    }
    this.#top = manifest;
    return Promise.resolve();
  }

  async finish(): Promise<void> {
    const { path } = this.#directory;
    const top = this.#top!;
    await this.#directory.locked(async () => {
      this.#files.delete(manifestFile(top.descriptor.digest));
      const present = new Set(await readdir(path));
      if ([...this.#files].some((name) => !present.has(name))) {
        throw new UsageError(`another process has written a different image to ${path}`, {
          hint: 'use a separate directory for each image, then run the command again',
        });
      }
      await writeFileAtomic(join(path, MANIFEST_FILE), top.bytes, 0o644);
      for (const name of await readdir(path))
        if (OLD_FILE.test(name) && !this.#files.has(name)) await unlink(join(path, name));
    });
  }

  discard(): Promise<void> {
    return Promise.resolve();
  }
}
