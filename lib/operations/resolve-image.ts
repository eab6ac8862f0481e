import { InvalidManifestError, NotFoundError, UnsupportedMediaTypeError } from '../errors.js';
import type { RepositoryReader, TagOrDigest } from '../registry/index.js';
import {
  formatPlatform,
  isConfigType,
  isLayerType,
  parseManifest,
  platformScore,
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
  type Platform,
  type RawManifest,
} from '../spec/index.js';

/** One platform's manifest of an image, with the index it was chosen from. */
export interface ResolvedImage {
  readonly manifest: ImageManifest;
  readonly raw: RawManifest;
  readonly index: RawManifest | undefined;
}

/** Deeper nesting of indexes than anybody publishes (hostile-input.md, 21). */
const MAX_INDEX_DEPTH = 3;

/**
 * Fetches the manifest of `reference` for `platform`, through indexes. Throws NotFoundError (no such tag, no such
 * platform), InvalidManifestError, UnsupportedMediaTypeError for artifacts that are not container images.
 */
export async function resolveImage(
  repository: RepositoryReader,
  reference: TagOrDigest,
  options: { readonly platform: Platform; readonly signal: AbortSignal },
): Promise<ResolvedImage> {
  let index: RawManifest | undefined;
  let raw = await repository.manifest(reference, options);
  for (let depth = 0; depth <= MAX_INDEX_DEPTH; depth++) {
    const where = `manifest ${raw.descriptor.digest}`;
    const document = parseManifest(raw.bytes, raw.descriptor.mediaType, where);
    if (document.kind === 'manifest') {
      requireImage(document, where);
      return { manifest: document, raw, index };
    }
    index ??= raw;
    raw = await repository.manifest({ digest: choosePlatform(document, options.platform).digest }, options);
  }
  throw new InvalidManifestError(`indexes are nested more than ${MAX_INDEX_DEPTH} deep`, {
    where: raw.descriptor.digest,
  });
}

/** The entry of an index that serves `platform` best. Throws NotFoundError that lists what there is. */
export function choosePlatform(index: ImageIndex, platform: Platform): Descriptor {
  let best: Descriptor | undefined;
  let bestScore = 0;
  for (const entry of index.manifests) {
    const score = entry.platform === undefined ? 0 : platformScore(platform, entry.platform);
    if (score > bestScore) [best, bestScore] = [entry, score];
  }
  // An index of one entry without a platform (as some builders write) leaves nothing to choose.
  if (best === undefined && index.manifests.length === 1 && index.manifests[0]!.platform === undefined)
    best = index.manifests[0];
  if (best !== undefined) return best;
  const wanted = formatPlatform(platform);
  const offered = index.manifests.flatMap((entry) =>
    entry.platform === undefined ? [] : [formatPlatform(entry.platform)],
  );
  throw new NotFoundError(`the image has no manifest for ${wanted}`, {
    kind: 'platform',
    subject: wanted,
    hint:
      offered.length === 0
        ? undefined
        : `it offers ${[...new Set(offered)].slice(0, 20).join(', ')}; choose with --platform`,
  });
}

function requireImage(manifest: ImageManifest, where: string): void {
  const odd =
    [manifest.config].filter((config) => !isConfigType(config.mediaType))[0] ??
    manifest.layers.find((layer) => !isLayerType(layer.mediaType));
  if (odd === undefined) return;
  throw new UnsupportedMediaTypeError(
    `${where} is an artifact, not a container image: it holds ${odd.mediaType.slice(0, 200)}`,
    {
      mediaType: odd.mediaType,
    },
  );
}
