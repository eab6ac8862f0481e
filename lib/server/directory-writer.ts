import { copyFile, constants, link, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { digestAlgorithm, parseManifest, type Digest, type RawManifest } from '../spec/index.js';
import { KeyedMutex, namesIn, readIfPresent, unless } from '../util/index.js';
import type { DirectoryLayout } from './directory-layout.js';
import { repositoriesWith, type DirectoryReader } from './directory-reader.js';
import { DirectoryUploads } from './directory-uploads.js';
import { replaceFile, syncDirectories, withDirectory } from './file-operations.js';
import { encodeManifestFile } from './manifest-file.js';
import type { BlobUpload, ManifestPublication, RegistryWriter, TagListener } from './types.js';
import { expireV1Images } from './v1/directory-v1.js';

/**
 * Modifies a registry directory. Every step is one rename, link or unlink, ordered so that everything visible is
 * complete: blobs before the manifest, the referrer's entry before the manifest, the tag last; in reverse order for
 * deletion.
 */
export class DirectoryWriter implements RegistryWriter {
  readonly #layout: DirectoryLayout;
  readonly #reader: DirectoryReader;
  readonly #uploads: DirectoryUploads;
  readonly #blobs = new KeyedMutex();
  readonly #repositories = new KeyedMutex();
  readonly #tagListeners: TagListener[] = [];
  readonly #onRepository: () => void;

  /** `onRepository` is called when a repository may have been created or deleted. */
  constructor(layout: DirectoryLayout, reader: DirectoryReader, onRepository: () => void) {
    this.#layout = layout;
    this.#reader = reader;
    this.#onRepository = onRepository;
    this.#uploads = new DirectoryUploads(layout, (file, repository, digest) => this.#publish(file, repository, digest));
  }

  onTag(listener: TagListener): void {
    this.#tagListeners.push(listener);
  }

  startUpload(repository: string): Promise<BlobUpload> {
    return this.#uploads.start(repository);
  }

  findUpload(repository: string, id: string): Promise<BlobUpload | undefined> {
    return this.#uploads.find(repository, id);
  }

  async putManifest(repository: string, { manifest, tag, referrer }: ManifestPublication): Promise<void> {
    const layout = this.#layout;
    const { digest } = manifest.descriptor;
    await this.#repositories.run(repository, async () => {
      const path = layout.manifest(repository, digest);
      const synced = [dirname(path)];
      if (referrer !== undefined) {
        const entry = layout.referrer(repository, referrer.subject, digest);
        await replaceFile(entry, JSON.stringify(referrer.descriptor), layout.temporary);
        synced.push(dirname(entry));
      }
      const isFirst = (await unless(stat(layout.manifests(repository)))) === undefined;
      try {
        await replaceFile(path, encodeManifestFile(manifest), layout.temporary);
      } finally {
        // The directory alone makes the repository visible.
        if (isFirst) this.#onRepository();
      }
      const algorithm = digestAlgorithm(digest);
      synced.push(layout.sharedBlobs(algorithm), dirname(layout.blob(repository, digest)));
      if (tag !== undefined) {
        await replaceFile(layout.tag(repository, tag), digest, layout.temporary);
        synced.push(layout.tags(repository));
        for (const listener of this.#tagListeners) listener(repository, manifest);
      }
      await syncDirectories(synced);
    });
  }

  async deleteManifest(repository: string, digest: Digest): Promise<boolean> {
    return this.#repositories.run(repository, async () => {
      const manifest = await this.#reader.findManifest(repository, { digest });
      if (manifest === undefined) return false;
      for (const tag of await namesIn(this.#layout.tags(repository))) {
        const path = this.#layout.tag(repository, tag);
        if ((await readIfPresent(path))?.toString() === digest) await rm(path, { force: true });
      }
      await unlink(this.#layout.manifest(repository, digest));
      const subject = subjectOf(manifest);
      if (subject !== undefined) await rm(this.#layout.referrer(repository, subject, digest), { force: true });
      await this.#prune(dirname(this.#layout.manifest(repository, digest)));
      await this.#prune(this.#layout.manifests(repository));
      this.#onRepository();
      return true;
    });
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    return this.#repositories.run(repository, async () => {
      return (await unless(unlink(this.#layout.tag(repository, tag)).then(() => true))) ?? false;
    });
  }

  async deleteBlob(repository: string, digest: Digest): Promise<boolean> {
    return this.#blobs.run(digest, async () => {
      const removed = await unless(unlink(this.#layout.blob(repository, digest)).then(() => true));
      await this.#freeIfUnused(this.#layout.sharedBlob(digest));
      return removed ?? false;
    });
  }

  async mountBlob(repository: string, digest: Digest, from?: string): Promise<boolean> {
    return this.#blobs.run(digest, async () => {
      const source = from === undefined ? this.#layout.sharedBlob(digest) : this.#layout.blob(from, digest);
      if ((await unless(stat(source))) === undefined) return false;
      await this.#reference(repository, digest);
      return true;
    });
  }

  /** Makes a verified file a shared blob and links it to `target`, a name outside the repositories. */
  async publishTo(file: string, digest: Digest, target: string): Promise<void> {
    await this.#blobs.run(digest, async () => {
      await this.#share(file, digest);
      await this.#link(digest, target);
    });
  }

  /** Removes the remains of crashes and of clients that disappeared. Runs concurrently with requests. Throws AbortError. */
  async sweep(uploadDeadlineMs: number, signal: AbortSignal): Promise<void> {
    for (const repository of await repositoriesWith(this.#layout, '_uploads')) {
      signal.throwIfAborted();
      await this.#uploads.expire(repository, uploadDeadlineMs);
    }
    await expireV1Images(this.#layout, uploadDeadlineMs);
    for (const algorithm of ['sha256', 'sha512']) {
      for (const hex of await namesIn(this.#layout.sharedBlobs(algorithm))) {
        signal.throwIfAborted();
        const digest = `${algorithm}:${hex}` as Digest;
        await this.#blobs.run(digest, () => this.#freeIfUnused(this.#layout.sharedBlob(digest)));
      }
    }
  }

  async #publish(file: string, repository: string, digest: Digest): Promise<void> {
    await this.#blobs.run(digest, async () => {
      await this.#share(file, digest);
      await this.#reference(repository, digest);
    });
  }

  async #share(file: string, digest: Digest): Promise<void> {
    const shared = this.#layout.sharedBlob(digest);
    if ((await unless(stat(shared))) === undefined) await withDirectory(shared, () => rename(file, shared));
  }

  /** Links the shared blob into the repository. The caller holds the blob's lock. */
  #reference(repository: string, digest: Digest): Promise<void> {
    return this.#link(digest, this.#layout.blob(repository, digest));
  }

  async #link(digest: Digest, own: string): Promise<void> {
    const shared = this.#layout.sharedBlob(digest);
    const add = (): Promise<unknown> => withDirectory(own, () => unless(link(shared, own), 'EEXIST'));
    try {
      await add();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EMLINK') throw error;
      // File systems limit the hard links of a file (about 65,000). Existing links keep the old file, new ones get a copy.
      await this.#renew(shared);
      await add();
    }
  }

  async #renew(shared: string): Promise<void> {
    const draft = join(this.#layout.temporary, randomUUID());
    try {
      await copyFile(shared, draft, constants.COPYFILE_FICLONE);
      await rename(draft, shared);
    } finally {
      await rm(draft, { force: true });
    }
  }

  async #freeIfUnused(shared: string): Promise<void> {
    if ((await unless(stat(shared)))?.nlink === 1) await rm(shared, { force: true });
  }

  /** Removes empty directories; keeps others. */
  async #prune(path: string): Promise<void> {
    await unless(rmdir(path), 'ENOENT', 'ENOTEMPTY');
  }
}

function subjectOf({ bytes, descriptor }: RawManifest): Digest | undefined {
  return parseManifest(bytes, descriptor.mediaType, descriptor.digest).subject?.digest;
}
