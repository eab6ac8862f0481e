import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, readFile, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
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
} from '../spec/index.js';
import { tryFlock } from '../sys/index.js';
import { delay, makeDirectory, TEMPORARY_PREFIX, writeFileAtomic } from '../util/index.js';
import { OCI_LAYOUT, setName } from './oci-index.js';
import { blobPath, parseIndex } from './oci-layout-reader.js';
import type { ArchiveName, ImageArchiveWriter } from './types.js';
import { verified } from './verified.js';

const POLL_MS = { first: 10, most: 200 } as const;
/** Temporary files of this writer: blobs, and those of writeFileAtomic. */
const OWN_TEMPORARY = /^\.new-([0-9a-f]{24}|(index\.json|oci-layout)-[0-9a-f]{12})$/;

/**
 * Adds images to an OCI layout directory, made when there is none. Any number of processes may do so at once: blobs take
 * their name when they are whole, index.json is changed under a lock on the directory. What a killed writer left is
 * removed by the next.
 */
export class OciDirectoryWriter implements ImageArchiveWriter {
  readonly format = 'oci-dir';
  readonly #root: string;
  readonly #signal: AbortSignal;
  readonly #images: { readonly descriptor: Descriptor; readonly name: ArchiveName }[] = [];

  private constructor(root: string, signal: AbortSignal) {
    this.#root = root;
    this.#signal = signal;
  }

  /** Throws UsageError (not a directory, or one with other things in it), ArchiveFormatError (of another version). */
  static async open(root: string, signal: AbortSignal): Promise<OciDirectoryWriter> {
    try {
      makeDirectory(root, 0o777);
    } catch (error) {
      throw new UsageError(`${root} cannot be made: ${(error as Error).message}`, { cause: error });
    }
    const writer = new OciDirectoryWriter(root, signal);
    await writer.#locked(async () => {
      await writer.#begin();
      await writer.#sweep();
    });
    return writer;
  }

  async has({ digest, size }: Descriptor): Promise<boolean> {
    return (await stat(join(this.#root, blobPath(digest))).catch(() => undefined))?.size === size;
  }

  /** Others write layouts that have an index and some of its images only. */
  hasManifest(descriptor: Descriptor): Promise<boolean> {
    return this.#isWhole(descriptor, new Set());
  }

  async putBlob(
    blob: ReopenableBlob,
    options: { readonly signal: AbortSignal; readonly onProgress?: (transferred: number) => void },
  ): Promise<void> {
    if (!(await this.has(blob.descriptor))) await this.#write(blob.descriptor, verified(blob, options));
  }

  async putManifest({ bytes, descriptor }: RawManifest): Promise<void> {
    if (!(await this.has(descriptor))) await this.#write(descriptor, [bytes]);
  }

  addImage({ descriptor }: RawManifest, name: ArchiveName): Promise<void> {
    this.#images.push({ descriptor, name });
    return Promise.resolve();
  }

  async finish(): Promise<void> {
    await this.#locked(async () => {
      const path = join(this.#root, 'index.json');
      const old = await readIfThere(path);
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

  /** `seen`: manifests that are looked at already. */
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

  /** A new layout, or one that is there. */
  async #begin(): Promise<void> {
    const path = join(this.#root, 'oci-layout');
    const text = await readIfThere(path);
    if (text === undefined) {
      const others = (await readdir(this.#root)).filter(
        (name) => name !== 'blobs' && !name.startsWith(TEMPORARY_PREFIX),
      );
      if (others.length > 0) {
        throw new UsageError(`${this.#root} is a directory with other things in it, not an OCI layout`, {
          hint: 'give a new or empty directory, or an OCI layout',
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

  async #write({ digest }: Descriptor, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const target = join(this.#root, blobPath(digest));
    makeDirectory(dirname(target), 0o777);
    const { path, file } = await this.#temporary();
    try {
      for await (const chunk of content) await file.writeFile(chunk);
      await file.sync();
      await rename(path, target);
    } catch (error) {
      await unlink(path).catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** A new file, locked as long as it is open: that tells a sweep that somebody is at it. */
  async #temporary(): Promise<{ readonly path: string; readonly file: FileHandle }> {
    for (;;) {
      const path = join(this.#root, `${TEMPORARY_PREFIX}${randomBytes(12).toString('hex')}`);
      const file = await open(path, 'wx', 0o644);
      // Between the two calls a sweep may have taken it for one without an owner.
      if (tryFlock(file.fd, 'exclusive') && (await file.stat()).nlink > 0) return { path, file };
      await file.close();
    }
  }

  /** Removes what writers that died have left. Call under the lock: index.json's own temporary file has no owner then. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#root)) {
      if (!OWN_TEMPORARY.test(name)) continue;
      const path = join(this.#root, name);
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
        () => undefined,
      );
      if (file === undefined) continue;
      try {
        if (tryFlock(file.fd, 'exclusive')) await unlink(path).catch(() => undefined);
      } finally {
        await file.close();
      }
    }
  }

  async #locked(work: () => Promise<void>): Promise<void> {
    const directory = await open(this.#root, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      for (let pollMs: number = POLL_MS.first; !tryFlock(directory.fd, 'exclusive'); pollMs *= 2) {
        await delay(Math.min(pollMs, POLL_MS.most), this.#signal);
      }
      await work();
    } finally {
      await directory.close();
    }
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
