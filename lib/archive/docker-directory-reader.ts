import { DigestMismatchError } from '../errors.js';
import {
  digestAlgorithm,
  digestOf,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Descriptor,
  type Digest,
  type RawManifest,
  type ReopenableBlob,
} from '../spec/index.js';
import { blobFile, KNOWN_VERSION, MANIFEST_FILE, manifestFile, VERSION_FILE } from './docker-directory.js';
import { blobAt, readSmall, type FileTree } from './file-tree.js';
import type { ArchivedImage, ImageArchive } from './types.js';

/** Limit in bytes, far above the length of a version line. */
const MAX_VERSION_BYTES = 4096;

/** True for a directory in skopeo's `dir:` format. */
export async function isDockerDirectory(tree: FileTree): Promise<boolean> {
  const size = await tree.size(VERSION_FILE);
  if (size === undefined || size > MAX_VERSION_BYTES) return false;
  return KNOWN_VERSION.test((await readSmall(tree, VERSION_FILE, MAX_VERSION_BYTES)).toString('latin1'));
}

/** Opens a `dir:` directory. Ignores signatures in it. Throws ArchiveFormatError, InvalidManifestError. */
export async function openDockerDirectory(tree: FileTree): Promise<ImageArchive> {
  const bytes = await readSmall(tree, MANIFEST_FILE, MAX_MANIFEST_BYTES);
  return new DockerDirectory(tree, describe(bytes, digestOf(bytes), `${MANIFEST_FILE} in ${tree.title}`));
}

class DockerDirectory implements ImageArchive {
  readonly format = 'docker-dir';
  readonly images: readonly ArchivedImage[];
  readonly #tree: FileTree;
  readonly #top: RawManifest;

  constructor(tree: FileTree, top: RawManifest) {
    this.#tree = tree;
    this.#top = top;
    this.images = [{ descriptor: top.descriptor, names: [], refNames: [] }];
  }

  async manifest(digest: Digest): Promise<RawManifest> {
    if (digest === this.#top.descriptor.digest) return this.#top;
    const bytes = await readSmall(this.#tree, manifestFile(digest), MAX_MANIFEST_BYTES);
    const actual = digestOf(bytes, digestAlgorithm(digest));
    if (actual === digest) return describe(bytes, digest, `manifest ${digest} in ${this.#tree.title}`);
    throw new DigestMismatchError(`manifest ${digest} in ${this.#tree.title} has digest ${actual}`, {
      expected: digest,
      actual,
    });
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    return blobAt(this.#tree, blobFile(descriptor.digest), descriptor);
  }

  close(): Promise<void> {
    return this.#tree.close();
  }
}

function describe(bytes: Buffer, digest: Digest, where: string): RawManifest {
  const { mediaType } = parseManifest(bytes, '', where);
  return { bytes, descriptor: { mediaType, digest, size: bytes.length } };
}
