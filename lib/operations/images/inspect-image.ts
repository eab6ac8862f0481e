import {
  MAX_CONFIG_BYTES,
  configOfV1,
  formatPlatform,
  parseImageConfig,
  parseManifest,
  tagOrDigest,
  type Digest,
  type HistoryEntry,
  type ImageConfig,
  type Platform,
  type RawManifest,
  type Reference,
} from '../../spec/index.js';
import type { RepositoryReader, V1Repository } from '../../registry/index.js';
import type { OperationDeps } from '../deps.js';
import {
  byProtocol,
  configOfSchema1,
  layersOfSchema1,
  lookUpV1,
  readBlob,
  resolveDocument,
  type ResolvedSchema1,
  tagForV1,
} from '../registry/index.js';
import { findImage, LayerSizes, namesOf, readRecords } from '../store/index.js';

/** One layer as inspected: sizes in bytes. */
export interface InspectedLayer {
  /** Null for protocol v1, which has no digests. */
  readonly digest: Digest | null;
  /** For protocol v1: ID of the image of this layer. */
  readonly v1Id?: string;
  readonly mediaType: string;
  /** Compressed size; 0 if a v1 registry does not report it. */
  readonly size: number;
  readonly diffId: Digest | null;
  readonly chainId?: Digest;
  /** Size of the uncompressed tar, for local images. */
  readonly unpackedSize?: number;
}

/** Details of an image in the store or at a registry. */
export interface InspectedImage {
  /** Null if only a pull can determine it: schema 1 and protocol v1 at a registry. */
  readonly id: Digest | null;
  readonly names: readonly string[];
  /** Null for protocol v1. */
  readonly digest: Digest | null;
  /** For protocol v1: its ID there. */
  readonly v1Id?: string;
  readonly mediaType: string;
  readonly index?: Digest;
  /** Platforms of an index. */
  readonly platforms?: readonly string[];
  readonly created: string | null;
  readonly author: string | null;
  readonly platform: string;
  readonly os: string;
  readonly architecture: string;
  readonly config: ImageConfig['config'] | null;
  readonly layers: readonly InspectedLayer[];
  readonly history: readonly HistoryEntry[];
  /** Local images: bytes of uncompressed tar; remote: bytes to fetch. */
  readonly size: number;
  readonly exclusiveSize?: number;
  readonly sources?: readonly string[];
  readonly pulled?: string;
}

/** An inspected image and its documents, byte for byte. */
export interface Inspection {
  readonly image: InspectedImage;
  /** The document that the name refers to: an index if there is one. */
  readonly raw: Buffer;
  readonly config: Buffer;
}

/** Describes a local image. Takes no lock. Throws NotFoundError, UsageError. */
export async function inspectImage(
  deps: Pick<OperationDeps, 'metadata' | 'content'>,
  input: string,
): Promise<Inspection> {
  const { record } = await findImage(deps, input);
  const { images, layers } = await readRecords(deps);
  const sizes = new LayerSizes(layers, images);
  const raw = await deps.content.read(record.manifest.digest);
  const configBytes = await deps.content.read(record.config.digest, { maxBytes: MAX_CONFIG_BYTES });
  const config = parseImageConfig(configBytes, `config ${record.config.digest}`);
  return {
    raw,
    config: configBytes,
    image: {
      id: record.id,
      names: namesOf(images, record.id),
      digest: record.manifest.digest,
      mediaType: record.manifest.mediaType,
      ...(record.index === undefined ? {} : { index: record.index.digest }),
      ...ofConfig(config),
      layers: record.layers.map(({ digest, mediaType, size }, index) => ({
        digest,
        mediaType,
        size,
        diffId: record.diffIds[index]!,
        chainId: record.chainIds[index]!,
        unpackedSize: sizes.of(record.chainIds[index]!),
      })),
      size: sizes.total(record),
      exclusiveSize: sizes.exclusive(record),
      sources: record.sources,
      pulled: record.pulled,
    },
  };
}

/** Describes an image at its registry without pulling it. Throws the errors of the registry, InvalidManifestError. */
export async function inspectRemoteImage(
  deps: Pick<OperationDeps, 'registry'>,
  reference: Reference,
  options: { readonly platform: Platform; readonly signal: AbortSignal },
): Promise<Inspection> {
  return byProtocol(deps.registry, reference, {
    v2: () => inspectByV2(deps, reference, options),
    v1: (repository) => inspectByV1(repository, reference, options),
    signal: options.signal,
  });
}

/** Describes a v1 image from its JSON documents, without diffIDs and digests. Except for its diffIDs, the config is that of the pulled image. */
async function inspectByV1(
  repository: V1Repository,
  reference: Reference,
  options: { readonly signal: AbortSignal },
): Promise<Inspection> {
  const images = await lookUpV1(repository, reference, options);
  const top = images.at(-1)!;
  const config = configOfV1(images, []);
  const { host, repository: path } = reference;
  return {
    raw: top.bytes,
    config,
    image: {
      id: null,
      names: [`${host}/${path}:${tagForV1(reference)}`],
      digest: null,
      v1Id: top.id,
      mediaType: 'application/json',
      ...ofConfig(parseImageConfig(config, `v1 image ${top.id}`)),
      layers: images.map(({ id, layerSize = 0 }) => ({
        digest: null,
        v1Id: id,
        mediaType: 'application/octet-stream',
        size: layerSize,
        diffId: null,
      })),
      size: images.reduce((total, { layerSize = 0 }) => total + layerSize, 0),
    },
  };
}

async function inspectByV2(
  deps: Pick<OperationDeps, 'registry'>,
  reference: Reference,
  options: { readonly platform: Platform; readonly signal: AbortSignal },
): Promise<Inspection> {
  const repository = await deps.registry.open(reference, options);
  const resolved = await resolveDocument(repository, tagOrDigest(reference), options);
  const { host, repository: path, tag } = reference;
  const names = tag === undefined ? [] : [`${host}/${path}:${tag}`];
  if ('schema1' in resolved) return inspectSchema1(repository, resolved, { names, signal: options.signal });
  const { manifest, raw, index } = resolved;
  const bytes = await readBlob(repository.blob(manifest.config), {
    maxBytes: MAX_CONFIG_BYTES,
    signal: options.signal,
  });
  const config = parseImageConfig(bytes, `config ${manifest.config.digest}`);
  return {
    raw: (index ?? raw).bytes,
    config: bytes,
    image: {
      id: manifest.config.digest,
      names,
      digest: raw.descriptor.digest,
      mediaType: raw.descriptor.mediaType,
      ...(index === undefined ? {} : { index: index.descriptor.digest, platforms: platformsOf(index) }),
      ...ofConfig(config),
      layers: manifest.layers.map(({ digest, mediaType, size }, position) => ({
        digest,
        mediaType,
        size,
        diffId: config.rootfs.diff_ids[position] ?? null,
      })),
      size: manifest.layers.reduce((total, { size }) => total + size, 0),
    },
  };
}

/** Describes a schema 1 image from its manifest, without its diffIDs and thus without its ID. */
async function inspectSchema1(
  repository: RepositoryReader,
  { schema1, raw }: ResolvedSchema1,
  { names, signal }: { readonly names: readonly string[]; readonly signal: AbortSignal },
): Promise<Inspection> {
  const layers = await layersOfSchema1({}, repository, { schema1, signal });
  const config = configOfSchema1(schema1, []);
  return {
    raw: raw.bytes,
    config,
    image: {
      id: null,
      names,
      digest: schema1.digest,
      mediaType: raw.descriptor.mediaType,
      ...ofConfig(parseImageConfig(config, `manifest ${schema1.digest}`)),
      layers: layers.map(({ digest, mediaType, size }) => ({ digest, mediaType, size, diffId: null })),
      size: layers.reduce((total, { size }) => total + size, 0),
    },
  };
}

function ofConfig(
  config: ImageConfig,
): Pick<InspectedImage, 'created' | 'author' | 'platform' | 'os' | 'architecture' | 'config' | 'history'> {
  const { os, architecture } = config;
  return {
    created: config.created ?? null,
    author: config.author ?? null,
    platform: formatPlatform(config),
    os,
    architecture,
    config: config.config ?? null,
    history: config.history ?? [],
  };
}

function platformsOf(index: RawManifest): string[] {
  const document = parseManifest(index.bytes, index.descriptor.mediaType, `index ${index.descriptor.digest}`);
  if (document.kind !== 'index') return [];
  return document.manifests.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]));
}
