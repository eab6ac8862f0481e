import { InvalidManifestError, NotFoundError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import {
  chainIds,
  type Descriptor,
  type Digest,
  digestHex,
  formatPlatform,
  type ImageConfig,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  type Platform,
  platformScore,
  type Reference,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { type ResolvedImage } from '../registry/index.js';
import type { LayerDeps } from '../store/index.js';
import type { LayerPlan } from './unpack-layers.js';

/** The platform of an image. */
export interface PlatformQuery {
  readonly platform: Platform;
  /** The user named the platform: a mismatch is an error instead of a note. */
  readonly platformGiven: boolean;
}

/** An image at a registry and its platform. */
export interface ImageQuery extends PlatformQuery {
  readonly reference: Reference;
  readonly signal: AbortSignal;
}

/** An image at a registry: its documents, and its layers, oldest first. */
export interface FoundAtRegistry {
  readonly resolved: ResolvedImage;
  readonly config: ImageConfig;
  readonly steps: readonly LayerPlan[];
}

/** A layer of an image at a registry. Sizes are the stored ones, in bytes. */
export interface PulledLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly state: 'fetched' | 'present';
}

/** The layers of a stored image, in the result of a command that fetched none of them. */
export function presentLayers({ layers }: Pick<ImageRecord, 'layers'>): PulledLayer[] {
  return layers.map(({ digest, size }) => ({ digest, size, state: 'present' }));
}

/** The typical ratio of tar size to gzip or zstd size (Debian: 813 MB to 270 MB). */
const UNPACK_RATIO = 3.2;

/**
 * Describes a resolved image. `readConfig` returns the bytes of its config. Throws what `readConfig` throws, NotFoundError for
 * a missing platform, InvalidManifestError.
 */
export async function describeImage(
  deps: Pick<OperationDeps, 'progress'>,
  resolved: ResolvedImage,
  query: PlatformQuery,
  readConfig: (config: Descriptor) => Promise<Buffer>,
): Promise<FoundAtRegistry> {
  const { manifest } = resolved;
  const where = `config ${manifest.config.digest}`;
  if (manifest.config.size > MAX_CONFIG_BYTES) {
    throw new InvalidManifestError(`${where} is ${manifest.config.size} bytes, over the limit of ${MAX_CONFIG_BYTES}`, {
      where,
    });
  }
  const config = parseImageConfig(await readConfig(manifest.config), where);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    throw new InvalidManifestError(`${where} names ${diffIds.length} layers, its manifest ${manifest.layers.length}`, {
      where,
    });
  }
  checkPlatform(deps, query, config);
  const chain = chainIds(diffIds);
  const steps = manifest.layers.map((blob, i): LayerPlan => ({
    blob,
    diffId: diffIds[i]!,
    chainId: chain[i]!,
    parent: chain[i - 1],
  }));
  return { resolved, config, steps };
}

/**
 * The layers to unpack. Those below the highest present one need only records and no subvolume, because a snapshot
 * contains the files of all its parents.
 */
export async function missingLayers(
  { metadata, snapshots }: LayerDeps,
  steps: readonly LayerPlan[],
): Promise<LayerPlan[]> {
  let recorded = 0;
  while (recorded < steps.length && (await metadata.layers.get(digestHex(steps[recorded]!.chainId))) !== undefined)
    recorded += 1;
  for (let top = recorded; top > 0; top--) if (await snapshots.has(steps[top - 1]!.chainId)) return steps.slice(top);
  return [...steps];
}

/** Those of `missing` whose blob must be fetched. */
export async function blobStates<Step extends Pick<LayerPlan, 'blob'>>(
  content: Pick<OperationDeps['content'], 'stat'> | undefined,
  steps: readonly Step[],
  missing: readonly Step[],
): Promise<PulledLayer[]> {
  return Promise.all(
    steps.map(async (step): Promise<PulledLayer> => {
      const { digest, size } = step.blob;
      const here = !missing.includes(step) || (await content?.stat(digest)) !== undefined;
      return { digest, size, state: here ? 'present' : 'fetched' };
    }),
  );
}

/** Bytes to transfer over the network. */
export function bytesToFetch(layers: readonly Pick<PulledLayer, 'size' | 'state'>[]): number {
  return layers.reduce((sum, { size, state }) => sum + (state === 'fetched' ? size : 0), 0);
}

/** The estimated size of layers when unpacked. Bytes. */
export function bytesUnpacked(steps: readonly Pick<LayerPlan, 'blob'>[]): number {
  const ratio = (mediaType: string): number => (/gzip|zstd/.test(mediaType) ? UNPACK_RATIO : 1);
  return Math.round(steps.reduce((sum, { blob }) => sum + blob.size * ratio(blob.mediaType), 0));
}

/**
 * Throws NotFoundError when the image is for another platform than the requested one. Only notes it when no platform
 * was requested.
 */
export function checkPlatform(
  { progress }: Pick<OperationDeps, 'progress'>,
  query: PlatformQuery,
  config: Pick<ImageConfig, 'os' | 'architecture' | 'variant'>,
): void {
  const { os, architecture } = config;
  if (typeof os !== 'string' || typeof architecture !== 'string') return;
  if (platformScore(query.platform, config) > 0) return;
  const message = `the image is for ${formatPlatform(config)}, not ${formatPlatform(query.platform)}`;
  if (!query.platformGiven) return progress.note(`${message}: it will not run here`);
  throw new NotFoundError(message, {
    kind: 'platform',
    subject: formatPlatform(query.platform),
    hint: 'leave out --platform, or choose another image',
  });
}
