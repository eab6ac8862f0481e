import { ArchiveFormatError, DigestMismatchError, InvalidReferenceError } from '../errors.js';
import {
  digestAlgorithm,
  digestHex,
  digestOf,
  formatReference,
  isDigest,
  MAX_MANIFEST_BYTES,
  parseDescriptor,
  parseJson,
  parseManifest,
  parseReference,
  type Descriptor,
  type Digest,
  type RawManifest,
  type ReopenableBlob,
} from '../spec/index.js';
import { readDockerNames } from './docker-listing.js';
import { blobAt, readSmall, type FileTree } from './file-tree.js';
import { checkNameCounts, MAX_IMAGES, MAX_LISTING_BYTES } from './limits.js';
import type { ArchivedImage, ArchiveFormat, ImageArchive } from './types.js';

/** Annotation with the tag or name of an image in a layout (image-spec annotations.md). */
export const REF_NAME = 'org.opencontainers.image.ref.name';
/** Annotation with the full name, which containerd and docker add. */
export const CONTAINERD_NAME = 'io.containerd.image.name';
const LAYOUT_VERSION = /^1\./;

/** Path of a blob in a layout (image-spec image-layout.md). */
export function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/** Opens an OCI layout and takes ownership of `tree`. Throws ArchiveFormatError, InvalidManifestError. */
export async function openOciLayout(tree: FileTree, format: ArchiveFormat): Promise<ImageArchive> {
  const layout = parseJson(await readSmall(tree, 'oci-layout', MAX_LISTING_BYTES), 'oci-layout');
  const version: unknown = (layout as { imageLayoutVersion?: unknown } | null)?.imageLayoutVersion;
  if (typeof version !== 'string' || !LAYOUT_VERSION.test(version)) {
    throw new ArchiveFormatError(
      `${tree.title} is an OCI layout of version ${JSON.stringify(version)?.slice(0, 50)}, not 1`,
    );
  }
  const descriptors = parseIndex(await readSmall(tree, 'index.json', MAX_LISTING_BYTES), tree.title);
  return new OciLayout(tree, format, await describe(tree, descriptors));
}

/** The entries of an `index.json`. Throws ArchiveFormatError, InvalidManifestError. */
export function parseIndex(bytes: Uint8Array, title: string): Descriptor[] {
  const manifests = (parseJson(bytes, 'index.json') as { manifests?: unknown } | null)?.manifests;
  if (!Array.isArray(manifests)) throw new ArchiveFormatError(`index.json of ${title} has no list of manifests`);
  if (manifests.length > MAX_IMAGES) throw new ArchiveFormatError(`${title} has over ${MAX_IMAGES} images`);
  return manifests.map((entry, i) => parseDescriptor(entry, `index.json manifests[${i}]`));
}

/** One image per digest, with all names from index.json and, in docker's hybrid archives, manifest.json. */
async function describe(tree: FileTree, descriptors: readonly Descriptor[]): Promise<ArchivedImage[]> {
  const isHybrid = (await tree.size('manifest.json')) !== undefined;
  const dockerNames = isHybrid ? await readDockerNames(tree) : new Map<string, string[]>();
  const images = new Map<Digest, { descriptor: Descriptor; names: Set<string>; refNames: Set<string> }>();
  for (const descriptor of descriptors) {
    const image = images.get(descriptor.digest) ?? { descriptor, names: new Set(), refNames: new Set() };
    images.set(descriptor.digest, image);
    const refName = descriptor.annotations?.[REF_NAME];
    if (refName !== undefined) image.refNames.add(refName);
    for (const name of [descriptor.annotations?.[CONTAINERD_NAME], refName]) {
      const full = fullName(name);
      if (full !== undefined) image.names.add(full);
    }
  }
  for (const image of dockerNames.size === 0 ? [] : images.values()) {
    if (image.names.size > 0) continue;
    for (const name of dockerNames.get(await configPath(tree, image.descriptor)) ?? []) image.names.add(name);
  }
  checkNameCounts(
    tree.title,
    [...images.values()].map(({ names, refNames }) => Math.max(names.size, refNames.size)),
  );
  return [...images.values()].map(({ descriptor, names, refNames }) => ({
    descriptor,
    names: [...names].sort(),
    refNames: [...refNames],
  }));
}

/** Path of a manifest's config; '' for an index. */
async function configPath(tree: FileTree, { digest }: Descriptor): Promise<string> {
  const manifest = parseJson(await readSmall(tree, blobPath(digest), MAX_MANIFEST_BYTES), `manifest ${digest}`);
  const config: unknown = (manifest as { config?: { digest?: unknown } } | null)?.config?.digest;
  return isDigest(config) ? blobPath(config) : '';
}

/** Returns the name if it is a full reference; a mere tag (`latest`, `1.0`) names no repository. */
function fullName(name: string | undefined): string | undefined {
  if (name === undefined || !/[:/]/.test(name)) return undefined;
  try {
    const { digest, ...reference } = parseReference(name);
    return reference.tag === undefined || digest !== undefined ? undefined : formatReference(reference);
  } catch (error) {
    // Annotations may contain anything.
    if (error instanceof InvalidReferenceError) return undefined;
    throw error;
  }
}

/** Manifests and blobs by digest under `blobs/`. */
class OciLayout implements ImageArchive {
  readonly format: ArchiveFormat;
  readonly images: readonly ArchivedImage[];
  readonly #tree: FileTree;

  constructor(tree: FileTree, format: ArchiveFormat, images: readonly ArchivedImage[]) {
    this.#tree = tree;
    this.format = format;
    this.images = images;
  }

  async manifest(digest: Digest): Promise<RawManifest> {
    const bytes = await readSmall(this.#tree, blobPath(digest), MAX_MANIFEST_BYTES);
    const actual = digestOf(bytes, digestAlgorithm(digest));
    if (actual !== digest) {
      throw new DigestMismatchError(`manifest ${digest} in ${this.#tree.title} has digest ${actual}`, {
        expected: digest,
        actual,
      });
    }
    const listed = this.images.find(({ descriptor }) => descriptor.digest === digest)?.descriptor.mediaType ?? '';
    const { mediaType } = parseManifest(bytes, listed, `manifest ${digest}`);
    return { bytes, descriptor: { mediaType, digest, size: bytes.length } };
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    return blobAt(this.#tree, blobPath(descriptor.digest), descriptor);
  }

  close(): Promise<void> {
    return this.#tree.close();
  }
}
