import { createHash } from 'node:crypto';
import { DigestMismatchError, InvalidManifestError } from '../errors.js';
import {
  MAX_CONFIG_BYTES,
  digestFrom,
  digestHex,
  digestOf,
  MEDIA_TYPE,
  parseImageConfig,
  rawManifest,
  type Descriptor,
  type Digest,
  type RawManifest,
} from '../spec/index.js';
import { detectCompression, LAYER_TYPE, type Compression } from './decompress.js';
import { readDockerListing, type DockerListing } from './docker-listing.js';
import { missingFileError, readSmall, type FileTree } from './file-tree.js';
import { SynthesizedArchive } from './synthesized-archive.js';
import type { ImageArchive } from './types.js';

/**
 * Opens an archive with a `manifest.json` and takes ownership of `tree`. The format has no manifests, so each image
 * gets a schema 2 manifest for its unchanged config and layers. Throws ArchiveFormatError, PathEscapeError,
 * InvalidManifestError.
 */
export async function openDockerArchive(tree: FileTree): Promise<ImageArchive> {
  const archive = new SynthesizedArchive(tree, 'docker-archive');
  const layers = new Map<string, Promise<Descriptor>>();
  for (const listing of await readDockerListing(tree)) {
    archive.addImage(await buildManifest(tree, archive, { listing, layers }), listing.names);
  }
  return archive;
}

async function buildManifest(
  tree: FileTree,
  archive: SynthesizedArchive,
  { listing, layers }: { readonly listing: DockerListing; readonly layers: Map<string, Promise<Descriptor>> },
): Promise<RawManifest> {
  const bytes = await readSmall(tree, listing.config, MAX_CONFIG_BYTES);
  const named = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(listing.config)?.[1];
  const digest = digestOf(bytes);
  if (named !== undefined && named !== digestHex(digest)) {
    throw new DigestMismatchError(`config ${listing.config} in ${tree.title} has digest ${digest}`, {
      expected: `sha256:${named}`,
      actual: digest,
    });
  }
  const where = `config ${listing.config}`;
  const diffIds = parseImageConfig(bytes, where).rootfs.diff_ids;
  if (diffIds.length !== listing.layers.length) {
    throw new InvalidManifestError(`${where} names ${diffIds.length} layers, manifest.json ${listing.layers.length}`, {
      where,
    });
  }
  archive.addBytes(digest, bytes);
  const described: Descriptor[] = [];
  for (const [i, path] of listing.layers.entries()) {
    const layer = await (layers.get(path) ?? describeLayer(tree, path, diffIds[i]!));
    layers.set(path, Promise.resolve(layer));
    archive.addFile(layer.digest, path);
    described.push(layer);
  }
  const config = { mediaType: MEDIA_TYPE.dockerConfig, size: bytes.length, digest };
  return rawManifest({ schemaVersion: 2, mediaType: MEDIA_TYPE.dockerManifest, config, layers: described });
}

/** The digest of a plain tar is its diffID, which reading verifies; the digest of a compressed layer is computed. */
async function describeLayer(tree: FileTree, path: string, diffId: Digest): Promise<Descriptor> {
  const size = await tree.size(path);
  if (size === undefined) throw missingFileError(tree, path);
  if (size === 0) return { mediaType: LAYER_TYPE.none, size, digest: diffId };
  const hash = createHash('sha256');
  let compression: Compression | undefined;
  for await (const chunk of (await tree.open(path)) as AsyncIterable<Buffer>) {
    compression ??= detectCompression(chunk, path);
    if (compression === 'none') return { mediaType: LAYER_TYPE.none, size, digest: diffId };
    hash.update(chunk);
  }
  return { mediaType: LAYER_TYPE[compression!], size, digest: digestFrom(hash) };
}
