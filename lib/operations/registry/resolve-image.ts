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

/** One platform's manifest of an image, with the index it was chosen from. */
export interface ResolvedImage {
  readonly manifest: ImageManifest;
  readonly raw: RawManifest;
  readonly index: RawManifest | undefined;
}

/** An image of Docker's schema 1: it has no config and does not tell its diffIDs. */
export interface ResolvedSchema1 {
  readonly schema1: Schema1Manifest;
  readonly raw: RawManifest;
}

/** Gives the manifests of a repository or an archive. */
export interface ManifestReader {
  manifest(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<RawManifest>;
}

/** Deeper nesting of indexes than anybody publishes (hostile-input.md, 21). */
const MAX_INDEX_DEPTH = 3;
/** Entries without a platform that are looked into. */
const MAX_CANDIDATES = 16;

/**
 * Fetches the manifest of `reference` for `platform`, through indexes. Throws NotFoundError (no such tag, no such
 * platform), InvalidManifestError, UnsupportedMediaTypeError for artifacts that are not container images.
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

/** As `resolveImage`, but with images of schema 1 too: their signatures and chain of parents are verified. */
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
 * The document of one platform's manifest; `index`: the one it was chosen from. Throws InvalidManifestError,
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
 * The manifest for `platform` that `raw` leads to, through indexes; `fetch` gets what an index names. `raw` itself when it is no
 * index. Entries without a platform are taken, or entered, in their order where no other fits, as podman and containerd do.
 * Throws NotFoundError, InvalidManifestError, what `fetch` throws.
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

/** The entry of an index that serves `platform` best. Throws NotFoundError that lists what the index offers. */
export function choosePlatform(index: ImageIndex, platform: Platform): Descriptor {
  const [best] = candidatesFor(index, platform);
  if (best === undefined) throw noPlatformError(index, platform);
  return best;
}

/** The entry that fits best; where none does, those without a platform, of which each may be for any. */
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
