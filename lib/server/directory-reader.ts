import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest, isTag, type Descriptor, type Digest, type RawManifest } from '../spec/index.js';
import { namesIn, readIfPresent, unless } from '../util/index.js';
import type { DirectoryLayout } from './directory-layout.js';
import { decodeManifestFile } from './manifest-file.js';
import type { ManifestKey } from './types.js';
import type { OpenBlob } from './open-blob.js';

const SETTLED_MS = 2000;

/** Reads a registry directory. Takes no locks, because everything visible is complete. */
export class DirectoryReader {
  readonly #layout: DirectoryLayout;

  constructor(layout: DirectoryLayout) {
    this.#layout = layout;
  }

  repositories(): Promise<readonly string[]> {
    return repositoriesWith(this.#layout, '_manifests');
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    if ((await unless(stat(this.#layout.manifests(repository)))) === undefined) return undefined;
    return (await namesIn(this.#layout.tags(repository))).filter(isTag).sort();
  }

  async tagsVersion(repository: string): Promise<string | undefined> {
    const found = await unless(stat(this.#layout.tags(repository), { bigint: true }));
    // File system timestamps are coarse: a second change shortly afterwards may have the same time.
    if (found === undefined || Date.now() - Number(found.mtimeMs) < SETTLED_MS) return undefined;
    return `${found.ino} ${found.mtimeNs}`;
  }

  async tagDigest(repository: string, tag: string): Promise<Digest | undefined> {
    const digest = (await readIfPresent(this.#layout.tag(repository, tag)))?.toString();
    return isDigest(digest) ? digest : undefined;
  }

  async hasManifest(repository: string, digest: Digest): Promise<boolean> {
    return (await unless(stat(this.#layout.manifest(repository, digest)))) !== undefined;
  }

  async findManifest(repository: string, key: ManifestKey): Promise<RawManifest | undefined> {
    if ('digest' in key) return this.#readManifest(repository, key.digest);
    let seen: string | undefined;
    for (;;) {
      const digest = await this.tagDigest(repository, key.tag);
      if (digest === undefined || digest === seen) return undefined;
      const manifest = await this.#readManifest(repository, digest);
      if (manifest !== undefined) return manifest;
      // Between the two reads, the tag may have moved and its old manifest may have been deleted.
      seen = digest;
    }
  }

  async statBlob(repository: string, digest: Digest): Promise<{ readonly size: number } | undefined> {
    return unless(stat(this.#layout.blob(repository, digest)));
  }

  async openBlob(repository: string, digest: Digest): Promise<OpenBlob | undefined> {
    const handle = await unless(open(this.#layout.blob(repository, digest), 'r'));
    return handle === undefined ? undefined : { handle, size: (await handle.stat()).size };
  }

  async *referrers(repository: string, subject: Digest, after = ''): AsyncGenerator<Descriptor> {
    const directory = this.#layout.referrers(repository, subject);
    // File names derive from digests, so they sort alike.
    const first = after.replace(':', '-');
    for (const name of (await namesIn(directory)).filter((entry) => entry > first).sort()) {
      const entry = await readIfPresent(join(directory, name));
      if (entry === undefined) continue;
      const descriptor = JSON.parse(entry.toString()) as Descriptor;
      // The entry is written before its manifest, and does not count without it.
      if (await this.hasManifest(repository, descriptor.digest)) yield descriptor;
    }
  }

  async #readManifest(repository: string, digest: Digest): Promise<RawManifest | undefined> {
    const file = await readIfPresent(this.#layout.manifest(repository, digest));
    return file === undefined ? undefined : decodeManifestFile(file, digest);
  }
}

/** Names of the repositories that have a directory named `marker`, sorted bytewise. */
export async function repositoriesWith(layout: DirectoryLayout, marker: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (name: string): Promise<void> => {
    const entries = (await unless(readdir(layout.repository(name), { withFileTypes: true }))) ?? [];
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      if (entry.name === marker && name !== '') found.push(name);
      else if (!entry.name.startsWith('_')) await visit(name === '' ? entry.name : `${name}/${entry.name}`);
    }
  };
  await visit('');
  return found.sort();
}
