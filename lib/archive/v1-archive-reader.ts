import { createHash } from 'node:crypto';
import { ArchiveFormatError } from '../errors.js';
import {
  annotateV1,
  beginPayloadChecksum,
  COMPRESSION_HEAD_BYTES,
  configOfV1,
  digestFrom,
  digestOf,
  isV1Id,
  MAX_V1_ANCESTRY,
  MAX_V1_JSON_BYTES,
  ociImageOf,
  parseJson,
  parseV1Image,
  type Descriptor,
  type Digest,
  type DiffId,
  type RawManifest,
  type V1Image,
} from '../spec/index.js';
import { decompress, detectCompression, LAYER_TYPE } from './decompress.js';
import { fullName } from './docker-listing.js';
import { readSmall, type FileTree } from './file-tree.js';
import { checkNameCounts, MAX_IMAGES, MAX_LISTING_BYTES } from './limits.js';
import { peek } from './peek.js';
import { SynthesizedArchive } from './synthesized-archive.js';
import type { ImageArchive } from './types.js';

/** The layer of an image that only changes metadata: an empty tar. */
export const EMPTY_TAR: Buffer = Buffer.alloc(1024);

/** A v1 layer: its original blob, and the digest of its uncompressed tar. */
interface V1Layer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  /** Checksum over JSON and blob. */
  readonly payload: Digest;
}

/** Reports whether a tar contains images in Docker's first format: a `repositories` file, or directories named by image IDs. */
export async function isV1Archive(tree: FileTree): Promise<boolean> {
  return (await tree.size('repositories')) !== undefined || v1Ids(tree).length > 0;
}

/**
 * Opens an archive of v1 images (image/spec/v1.md, "Combined Image JSON + Filesystem Changeset Format") and takes
 * ownership of `tree`. Reads all layers to create a config and a manifest for each image; these preserve the original
 * JSONs. Lists the named images or, without any name, those that are not parents of others. Throws ArchiveFormatError,
 * InvalidManifestError, UnsupportedMediaTypeError.
 */
export async function openV1Archive(tree: FileTree, signal: AbortSignal): Promise<ImageArchive> {
  const archive = new SynthesizedArchive(tree, 'v1');
  const layers = new Map<string, V1Layer>();
  for (const [id, names] of await readHeads(tree)) {
    const chain = await readChain(tree, id);
    for (const image of chain) {
      if (layers.has(image.id)) continue;
      signal.throwIfAborted();
      layers.set(image.id, await describeLayer(tree, archive, image));
    }
    archive.addImage(buildManifest(archive, chain, layers), [...names].sort());
  }
  return archive;
}

/** The images to load, with their full references. */
async function readHeads(tree: FileTree): Promise<Map<string, Set<string>>> {
  const heads = new Map<string, Set<string>>();
  if ((await tree.size('repositories')) !== undefined) {
    const bad = (): never => {
      throw new ArchiveFormatError(`repositories of ${tree.title} is not a table of names, tags and image IDs`);
    };
    const isTable = (value: unknown): value is Record<string, unknown> =>
      typeof value === 'object' && value !== null && !Array.isArray(value);
    const document = parseJson(await readSmall(tree, 'repositories', MAX_LISTING_BYTES), 'repositories');
    if (!isTable(document)) return bad();
    for (const [repository, tags] of Object.entries(document)) {
      if (!isTable(tags)) return bad();
      for (const [tag, id] of Object.entries(tags)) {
        if (!isV1Id(id)) return bad();
        heads.set(id, (heads.get(id) ?? new Set()).add(fullName(`${repository}:${tag}`, 'repositories')));
      }
    }
  }
  if (heads.size > MAX_IMAGES) throw new ArchiveFormatError(`${tree.title} has over ${MAX_IMAGES} images`);
  checkNameCounts(
    tree.title,
    [...heads.values()].map((names) => names.size),
  );
  if (heads.size > 0) return heads;
  const ids = v1Ids(tree);
  const parents = new Set<string | undefined>();
  for (const id of ids) parents.add((await readImage(tree, id)).parent);
  return new Map(ids.filter((id) => !parents.has(id)).map((id) => [id, new Set()]));
}

function v1Ids(tree: FileTree): string[] {
  return [...tree.names()].flatMap((name) => {
    const [id, file] = name.split('/');
    return file === 'json' && isV1Id(id) ? [id] : [];
  });
}

async function readImage(tree: FileTree, id: string): Promise<V1Image> {
  return parseV1Image(await readSmall(tree, `${id}/json`, MAX_V1_JSON_BYTES), id);
}

/** An image and its ancestors, root first. */
async function readChain(tree: FileTree, head: string): Promise<V1Image[]> {
  const chain: V1Image[] = [];
  const seen = new Set<string>();
  for (let id: string | undefined = head; id !== undefined;) {
    if (seen.has(id))
      throw new ArchiveFormatError(`the images of ${tree.title} are parents of each other`, { entry: id });
    if (seen.size === MAX_V1_ANCESTRY) {
      throw new ArchiveFormatError(`image ${head} has more than ${MAX_V1_ANCESTRY} ancestors`, { entry: head });
    }
    seen.add(id);
    const image: V1Image = await readImage(tree, id);
    chain.unshift(image);
    id = image.parent;
  }
  return chain;
}

async function describeLayer(
  tree: FileTree,
  archive: SynthesizedArchive,
  { id, bytes: json }: V1Image,
): Promise<V1Layer> {
  const payload = beginPayloadChecksum(json);
  const path = `${id}/layer.tar`;
  const size = (await tree.size(path)) ?? 0;
  if (size === 0) {
    const diffId = digestOf(EMPTY_TAR);
    archive.addBytes(diffId, EMPTY_TAR);
    return {
      blob: { mediaType: LAYER_TYPE.none, digest: diffId, size: EMPTY_TAR.length },
      diffId: diffId as DiffId,
      payload: digestFrom(payload.update(EMPTY_TAR)),
    };
  }
  const [whole, plain] = [createHash('sha256'), createHash('sha256')];
  const hashed = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of (await tree.open(path)) as AsyncIterable<Buffer>) {
      whole.update(chunk);
      payload.update(chunk);
      yield chunk;
    }
  };
  const { head, rest } = await peek(hashed(), COMPRESSION_HEAD_BYTES);
  const compression = detectCompression(head, path);
  for await (const chunk of decompress(rest, compression, path) as AsyncIterable<Buffer>) plain.update(chunk);
  const digest = digestFrom(whole);
  archive.addFile(digest, path);
  const blob = { mediaType: LAYER_TYPE[compression], digest, size };
  return { blob, diffId: digestFrom(plain) as DiffId, payload: digestFrom(payload) };
}

function buildManifest(
  archive: SynthesizedArchive,
  chain: readonly V1Image[],
  found: ReadonlyMap<string, V1Layer>,
): RawManifest {
  const own = chain.map(({ id }) => found.get(id)!);
  const bytes = configOfV1(
    chain,
    own.map(({ diffId }) => diffId),
  );
  const layers = own.map(({ blob, payload }, i) => ({ ...blob, annotations: annotateV1(chain[i]!, payload) }));
  const { config, manifest } = ociImageOf(bytes, layers);
  archive.addBytes(config.digest, bytes);
  return manifest;
}
