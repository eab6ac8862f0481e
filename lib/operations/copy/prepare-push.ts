import { createHash } from 'node:crypto';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { DigestMismatchError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { RegistryClient } from '../../registry/index.js';
import { bothOrFirstError } from '../../util/index.js';
import {
  allowsCompression,
  chainIds,
  compressionOfType,
  convertManifest,
  type Descriptor,
  type DiffId,
  type Digest,
  digestFrom,
  digestOf,
  formatOf,
  isKeptElsewhere,
  type LayerCompression,
  layerMediaType,
  type ManifestFormat,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  parseManifest,
  type RawManifest,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { type BlobPlaces, fetchFromPlaces } from '../download/index.js';
import { packAnew } from '../layers/index.js';

/** How an image is to be pushed; what is not given stays as it is. */
export interface PushConversion {
  readonly format?: ManifestFormat | undefined;
  /** Layers that are compressed so already stay, unless a level is given. */
  readonly compression?: { readonly kind: 'gzip' | 'zstd'; readonly level?: number | undefined } | undefined;
}

/** What preparing needs. */
export type PrepareDeps = Pick<
  OperationDeps,
  'content' | 'metadata' | 'registry' | 'snapshots' | 'compareTrees' | 'packLayer' | 'recompressLayer' | 'progress'
>;

/** An image as it goes to a registry. */
export interface PreparedImage {
  /** The image's record, with manifest, config and layers as they are sent. */
  readonly record: ImageRecord;
  readonly manifest: RawManifest;
  /** Whether blobs are others than those of the image. */
  readonly hasOtherBlobs: boolean;
}

/** How to prepare. */
export interface PrepareOptions extends PushConversion {
  readonly places: BlobPlaces;
  /** Blobs that are where they were known to be no more. */
  readonly lost: ReadonlySet<Digest>;
  /** Whether the target has a blob. */
  readonly isThere: (digest: Digest) => Promise<boolean>;
  /** The manifest is written once more, in schema 1. */
  readonly schema1?: boolean;
  /** Told of blobs that are in the store only for this push. */
  readonly made: Digest[];
  /** Keeps nothing: finds out digests and sizes only. */
  readonly dry: boolean;
  readonly signal: AbortSignal;
}

interface PreparedLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
}

/**
 * Makes what the registry is to get: the image as it is wherever possible. A layer that must be compressed in another way
 * is; one whose blob is nowhere any more is packed anew from its files. Every digest that changes is noted. Throws
 * NotFoundError (a blob is nowhere, its files neither), DigestMismatchError, UnsupportedMediaTypeError, LayerFormatError.
 */
export async function preparePush(
  deps: PrepareDeps,
  record: ImageRecord,
  options: PrepareOptions,
): Promise<PreparedImage> {
  const raw: RawManifest = { bytes: await deps.content.read(record.manifest.digest), descriptor: record.manifest };
  const format = options.format ?? formatOf(record.manifest.mediaType);
  // A combination that cannot be is refused before any work.
  if (options.compression !== undefined) layerMediaType(format, options.compression.kind, record.manifest.mediaType);
  const layers: PreparedLayer[] = [];
  // One after the other: each uses all cores.
  for (const position of record.layers.keys())
    layers.push(await prepareLayer(deps, { record, position, format }, options));
  const hasOtherBlobs = layers.some(({ blob }, i) => blob.digest !== record.layers[i]!.digest);
  const sameFormat = format === formatOf(record.manifest.mediaType);
  if (sameFormat && !hasOtherBlobs) return { record, manifest: raw, hasOtherBlobs };

  const diffIds = layers.map(({ diffId }) => diffId);
  const config = await changedConfig(deps, { record, diffIds }, options);
  const where = `manifest ${record.manifest.digest}`;
  const document = parseManifest(raw.bytes, record.manifest.mediaType, where);
  if (document.kind !== 'manifest') throw new TypeError(`${where} is an index`);
  const blobs = layers.map(({ blob }) => blob);
  const converted = convertManifest(document, { format, config, layers: blobs });
  const bytes = Buffer.from(JSON.stringify(converted.document));
  const manifest = { mediaType: converted.mediaType, digest: digestOf(bytes), size: bytes.length };
  if (converted.lost.length > 0) deps.progress.note(`Docker manifests cannot hold ${converted.lost.join(' and ')}`);
  if (options.schema1 !== true)
    deps.progress.note(`the manifest is ${manifest.digest}, not ${record.manifest.digest} as in the store`);
  if (config.digest !== record.id) deps.progress.note(`the image's ID is ${config.digest} there, not ${record.id}`);
  return {
    record: { ...record, id: config.digest, manifest, config, layers: blobs, diffIds, chainIds: chainIds(diffIds) },
    manifest: { bytes, descriptor: manifest },
    hasOtherBlobs,
  };
}

interface LayerJob {
  readonly record: ImageRecord;
  readonly position: number;
  readonly format: ManifestFormat;
}

async function prepareLayer(deps: PrepareDeps, job: LayerJob, options: PrepareOptions): Promise<PreparedLayer> {
  const { record, position, format } = job;
  const { compression, places, lost } = options;
  const blob = record.layers[position]!;
  const diffId = record.diffIds[position]!;
  const now = compressionOfType(blob.mediaType);
  const wanted = compression?.kind ?? (allowsCompression(format, now) ? now : 'gzip');
  const describe = (kind: LayerCompression, changed: { digest: Digest; size: number }): Descriptor => {
    const mediaType = layerMediaType(format, kind, blob.mediaType);
    const { digest, size } = changed;
    return digest === blob.digest ? { ...blob, mediaType } : { mediaType, digest, size };
  };
  // Only a layer that stays as it is needs a form for its present compression.
  const asItIs = (kind: LayerCompression): PreparedLayer => {
    const isSame = kind === now && format === formatOf(record.manifest.mediaType);
    return { blob: isSame ? blob : describe(kind, blob), diffId };
  };
  // Its URLs have these bytes and no others.
  if (isKeptElsewhere(blob)) return asItIs(now);

  const here = (await deps.content.stat(blob.digest)) !== undefined;
  const nowhere = !here && (lost.has(blob.digest) || places.of(blob).length === 0);
  const stays = wanted === now && compression?.level === undefined;
  if (stays && (!nowhere || (!lost.has(blob.digest) && (await options.isThere(blob.digest))))) return asItIs(now);
  const target = { kind: wanted, level: compression?.level };
  if (!here && !nowhere && options.dry) {
    deps.progress.note(`layer ${blob.digest} is not here: its new digest and size are known when it is pushed`);
    return asItIs(wanted);
  }
  if (nowhere || !(here || (await fetchMissing(deps, blob, options)))) {
    const packed = await packLost(deps, job, target, options);
    return { blob: describe(wanted, packed), diffId: packed.diffId };
  }
  const result = await recompress(deps, job, target, options);
  return { blob: describe(wanted, result), diffId };
}

/** How a new blob is compressed. */
interface Target {
  readonly kind: LayerCompression;
  readonly level: number | undefined;
}

async function recompress(
  deps: PrepareDeps,
  { record, position }: LayerJob,
  { kind, level }: Target,
  options: PrepareOptions,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const { digest } = record.layers[position]!;
  const diffId = record.diffIds[position]!;
  const result = await intoStore(deps, options, (output) =>
    deps.recompressLayer({
      path: deps.content.path(digest),
      compression: kind,
      level,
      output,
      signal: options.signal,
      onProgress: (transferred) => packing(deps, diffId, transferred),
    }),
  );
  if (result.diffId !== diffId) {
    throw new DigestMismatchError(`layer ${digest} in the store is damaged: its diffID is ${result.diffId}`, {
      expected: diffId,
      actual: result.diffId,
      hint: 'pull the image again, or repair the store with: imgtool store fsck',
    });
  }
  packing(deps, diffId, result.tarSize, true);
  if (result.digest !== digest) deps.progress.note(`layer ${digest} compressed with ${kind} is ${result.digest}`);
  return result;
}

async function packLost(
  deps: PrepareDeps,
  { record, position }: LayerJob,
  { kind, level }: Target,
  options: PrepareOptions,
): Promise<{ readonly digest: Digest; readonly size: number; readonly diffId: DiffId }> {
  const { digest } = record.layers[position]!;
  const diffId = record.diffIds[position]!;
  const onProgress = (transferred: number): void => packing(deps, diffId, transferred);
  const { signal } = options;
  const packed = await intoStore(deps, options, (output) =>
    packAnew(deps, { record, position }, { compression: kind, level, output, signal, onProgress }),
  );
  for (const note of packed.notes) deps.progress.note(note);
  packing(deps, diffId, packed.tarSize, true);
  const same = packed.digest === digest ? 'with the same digest' : `as ${packed.digest}`;
  deps.progress.note(`layer ${digest} is nowhere any more: packed anew from its files ${same}`);
  return packed;
}

/** Stores what `write` writes; in a dry run it is only hashed. */
async function intoStore<T extends object>(
  { content }: PrepareDeps,
  { made, dry, signal }: PrepareOptions,
  write: (output: Writable) => Promise<T>,
): Promise<T & { readonly digest: Digest; readonly size: number }> {
  const output = new PassThrough();
  const reading = dry ? hashed(output) : content.ingestStream(output, { signal });
  const [result, blob] = await bothOrFirstError(write(output), reading);
  if (!dry) made.push(blob.digest);
  return { ...result, ...blob };
}

async function hashed(blob: Readable): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of blob as AsyncIterable<Buffer>) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { digest: digestFrom(hash), size };
}

async function fetchMissing(deps: PrepareDeps, blob: Descriptor, options: PrepareOptions): Promise<boolean> {
  const openRegistry = (): Promise<RegistryClient> => Promise.resolve(deps.registry);
  const found = await fetchFromPlaces({ ...deps, openRegistry }, blob, options);
  if (found) options.made.push(blob.digest);
  return found;
}

/** The config with other diffIDs; both formats have the same document, so it stays byte for byte where they are the same. */
async function changedConfig(
  { content }: PrepareDeps,
  { record, diffIds }: { readonly record: ImageRecord; readonly diffIds: readonly DiffId[] },
  { dry, made }: PrepareOptions,
): Promise<Descriptor> {
  if (diffIds.every((diffId, i) => diffId === record.diffIds[i])) return record.config;
  const bytes = await content.read(record.config.digest, { maxBytes: MAX_CONFIG_BYTES });
  const config = parseImageConfig(bytes, `config ${record.config.digest}`);
  const changed = Buffer.from(JSON.stringify({ ...config, rootfs: { ...config.rootfs, diff_ids: diffIds } }));
  const digest = digestOf(changed);
  if (!dry) {
    await content.put(changed, digest);
    made.push(digest);
  }
  return { mediaType: record.config.mediaType, digest, size: changed.length };
}

function packing({ progress }: PrepareDeps, digest: Digest, transferred: number, done = false): void {
  const state = done ? { state: 'done' as const, total: transferred } : { state: 'active' as const };
  progress.event({ v: 1, kind: 'layer', action: 'pack', digest, transferred, ...state });
}
