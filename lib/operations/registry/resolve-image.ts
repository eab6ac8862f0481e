import { InvalidManifestError, NotFoundError, UnsupportedMediaTypeError } from '../../errors.js';
import type { TagOrDigest } from '../../registry/index.js';
import {
  formatPlatform,
  isConfigType,
  isLayerType,
  isSchema1Type,
  parseManifest,
  parseSchema1,
  platformScore,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  type Platform,
  type RawManifest,
  type Schema1Manifest,
} from '../../spec/index.js';

/** The manifest of an image for one platform, with the index that it was chosen from. */
export interface ResolvedImage {
  readonly manifest: ImageManifest;
  readonly raw: RawManifest;
  readonly index: RawManifest | undefined;
}

/** An image of Docker's schema 1, which has no config and no diffIDs. */
export interface ResolvedSchema1 {
  readonly schema1: Schema1Manifest;
  readonly raw: RawManifest;
}

/** Reads the manifests of a repository or an archive. */
export interface ManifestReader {
  manifest(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<RawManifest>;
}

/** More than any published nesting of indexes (hostile-input.md, 21). */
const MAX_INDEX_DEPTH = 3;
/** The most entries without a platform to try. */
const MAX_CANDIDATES = 16;

/**
 * Fetches the manifest of `reference` for `platform`, through indexes. Throws NotFoundError (tag or platform),
 * InvalidManifestError, UnsupportedMediaTypeError for artifacts other than container images.
 */
export async function resolveImage(
  source: ManifestReader,
  reference: TagOrDigest,
  options: { readonly platform: Platform; readonly signal: AbortSignal },
): Promise<ResolvedImage> {
  const document = await resolveDocument(source, reference, options);
  if (!('schema1' in document)) return document;
  const { mediaType, digest } = document.raw.descriptor;
  throw new UnsupportedMediaTypeError(`manifest ${digest} is of Docker's schema 1, which has no config`, {
    mediaType,
    hint: 'pull the image: its config and manifest are then built',
  });
}

/** Like `resolveImage`, but also accepts schema 1 and verifies its signatures and chain of parents. */
export async function resolveDocument(
  source: ManifestReader,
  reference: TagOrDigest,
  options: { readonly platform: Platform; readonly signal: AbortSignal },
): Promise<ResolvedImage | ResolvedSchema1> {
  const top = await source.manifest(reference, options);
  const raw = await throughIndexes(top, options.platform, (digest) => source.manifest({ digest }, options));
  return documentOf(raw, raw === top ? undefined : top);
}

/**
 * Parses the manifest of one platform. `index`: the index that it was chosen from. Throws InvalidManifestError,
 * UnsupportedMediaTypeError.
 */
export function documentOf(raw: RawManifest, index?: RawManifest): ResolvedImage | ResolvedSchema1 {
  const { mediaType, digest } = raw.descriptor;
  const where = `manifest ${digest}`;
  if (isSchema1Type(mediaType)) return { schema1: parseSchema1(raw.bytes, mediaType, where), raw };
  const manifest = parseManifest(raw.bytes, mediaType, where) as ImageManifest;
  checkIsImage(manifest, where);
  return { manifest, raw, index };
}

/**
 * Follows indexes from `raw` to the manifest for `platform`; returns `raw` if it is not an index. `fetch` gets the
 * entries of an index. If no entry matches, tries those without a platform in their order, like podman and containerd.
 * Throws NotFoundError, InvalidManifestError, and the errors of `fetch`.
 */
export async function throughIndexes(
  raw: RawManifest,
  platform: Platform,
  fetch: (digest: Digest) => Promise<RawManifest>,
  depth = 0,
): Promise<RawManifest> {
  const { mediaType, digest } = raw.descriptor;
  if (isSchema1Type(mediaType)) return raw;
  const document = parseManifest(raw.bytes, mediaType, `manifest ${digest}`);
  if (document.kind === 'manifest') return raw;
  if (depth === MAX_INDEX_DEPTH)
    throw new InvalidManifestError(`indexes are nested more than ${MAX_INDEX_DEPTH} deep`, { where: digest });
  const candidates = candidatesFor(document, platform);
  for (const entry of candidates) {
    try {
      return await throughIndexes(await fetch(entry.digest), platform, fetch, depth + 1);
    } catch (error) {
      const isAnotherLeft = entry !== candidates.at(-1);
      if (!isAnotherLeft || !(error instanceof NotFoundError && error.kind === 'platform')) throw error;
    }
  }
  throw noPlatformError(document, platform);
}

/** The entry of an index that matches `platform` best. Throws NotFoundError that lists the available platforms. */
export function choosePlatform(index: ImageIndex, platform: Platform): Descriptor {
  const [best] = candidatesFor(index, platform);
  if (best === undefined) throw noPlatformError(index, platform);
  return best;
}

/** The best matching entry, or otherwise all entries without a platform, which may be for any. */
function candidatesFor(index: ImageIndex, platform: Platform): readonly Descriptor[] {
  let best: Descriptor | undefined;
  let bestScore = 0;
  for (const entry of index.manifests) {
    const score = entry.platform === undefined ? 0 : platformScore(platform, entry.platform);
    if (score > bestScore) [best, bestScore] = [entry, score];
  }
  if (best !== undefined) return [best];
  return index.manifests.filter((entry) => entry.platform === undefined).slice(0, MAX_CANDIDATES);
}

function noPlatformError(index: ImageIndex, platform: Platform): NotFoundError {
  const wanted = formatPlatform(platform);
  const offered = index.manifests.flatMap((entry) =>
    entry.platform === undefined ? [] : [formatPlatform(entry.platform)],
  );
  return new NotFoundError(`the image has no manifest for ${wanted}`, {
    kind: 'platform',
    subject: wanted,
    hint:
      offered.length === 0
        ? undefined
        : `it offers ${[...new Set(offered)].slice(0, 20).join(', ')}; choose with --platform`,
  });
}

function checkIsImage(manifest: ImageManifest, where: string): void {
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
