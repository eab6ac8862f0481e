import { InvalidManifestError, UnsupportedMediaTypeError } from '../../errors.js';
import {
  chainIds,
  digestHex,
  digestOf,
  hostPlatform,
  isConfigType,
  isLayerType,
  MAX_V1_JSON_BYTES,
  parseImageConfig,
  parseManifest,
  platformScore,
  type Descriptor,
  type Digest,
  type DiffId,
  type ImageManifest,
  type RawManifest,
} from '../../spec/index.js';
import type { RegistryStorage } from '../types.js';

/** A v2 image that can be shown over v1. `layers` and `diffIds` are parallel. */
interface V2Image {
  /** The digest of one platform's manifest: in an index, this machine's platform, else the first. */
  readonly digest: Digest;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly DiffId[];
  readonly config: Buffer;
}

/**
 * Reads the image of a tagged manifest. Undefined: parts are missing and may be pushed later. `'no image'`: it cannot
 * be shown over v1.
 */
export async function readV2Image(
  storage: RegistryStorage,
  repository: string,
  tagged: Digest,
): Promise<V2Image | 'no image' | undefined> {
  try {
    const raw = await storage.findManifest(repository, { digest: tagged });
    const resolved = raw && (await resolve(storage, repository, raw));
    if (resolved === undefined) return undefined;
    const { manifest, digest } = resolved;
    const { layers } = manifest;
    if (!isConfigType(manifest.config.mediaType) || !layers.every((layer) => isLayerType(layer.mediaType)))
      return 'no image';
    if (manifest.config.size > MAX_V1_JSON_BYTES) return 'no image';
    const config = await readBlob(storage, repository, manifest.config);
    if (config === undefined) return undefined;
    const diffIds = parseImageConfig(config, 'the config').rootfs.diff_ids;
    return diffIds.length === layers.length ? { digest, layers, diffIds, config } : 'no image';
  } catch (error) {
    if (error instanceof InvalidManifestError || error instanceof UnsupportedMediaTypeError) return 'no image';
    throw error;
  }
}

/** The IDs assigned by `composeV1Images`, root first. */
export function v1IdsOf({ diffIds, config }: V2Image): string[] {
  return [...chainIds(diffIds).slice(0, -1), digestOf(config)].map(digestHex);
}

async function resolve(
  storage: RegistryStorage,
  repository: string,
  raw: RawManifest,
): Promise<{ readonly manifest: ImageManifest; readonly digest: Digest } | undefined> {
  const document = parseManifest(raw.bytes, raw.descriptor.mediaType, raw.descriptor.digest);
  if (document.kind === 'manifest') return { manifest: document, digest: raw.descriptor.digest };
  const host = hostPlatform();
  const score = ({ platform }: Descriptor): number => (platform === undefined ? 0 : platformScore(host, platform));
  const [best] = [...document.manifests].sort((a, b) => score(b) - score(a));
  const child = best && (await storage.findManifest(repository, { digest: best.digest }));
  if (child === undefined) return undefined;
  const manifest = parseManifest(child.bytes, child.descriptor.mediaType, child.descriptor.digest);
  return manifest.kind === 'manifest' ? { manifest, digest: child.descriptor.digest } : undefined;
}

async function readBlob(
  storage: RegistryStorage,
  repository: string,
  { digest }: Descriptor,
): Promise<Buffer | undefined> {
  const blob = await storage.openBlob(repository, digest);
  if (blob === undefined) return undefined;
  try {
    return await blob.handle.readFile();
  } finally {
    await blob.handle.close();
  }
}
