import { InvalidManifestError } from '../../errors.js';
import {
  isIndexType,
  isManifestType,
  isSchema1Type,
  MEDIA_TYPE,
  parseManifest,
  parseSchema1,
  type Descriptor,
  type Digest,
  type ImageSource,
  type RawManifest,
} from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';

/** A manifest to copy: what it needs at the destination before it can be put there. */
export interface ManifestNode {
  readonly raw: RawManifest;
  /** Blobs it names, each once; config last: it is small, and nothing waits for it. */
  readonly blobs: readonly Descriptor[];
  /** Manifests it names. */
  readonly children: readonly Descriptor[];
  readonly kind: 'index' | 'manifest';
}

const MAX_DEPTH = 4;
const MAX_MANIFESTS = 10_000;
const PARALLEL = 6;

/**
 * The manifests under `top`, those it names before itself. A subtree that `isThere` says every destination has is left
 * out. Throws InvalidManifestError when it is nested too deep or names too many, and what the source throws.
 */
export async function walkManifests(
  source: ImageSource,
  top: RawManifest,
  options: {
    readonly isThere: (manifest: Descriptor) => Promise<boolean>;
    readonly signal: AbortSignal;
  },
): Promise<ManifestNode[]> {
  const seen = new Set<Digest>([top.descriptor.digest]);
  const visit = async (raw: RawManifest, depth: number): Promise<ManifestNode[]> => {
    const where = `manifest ${raw.descriptor.digest}`;
    if (depth > MAX_DEPTH) throw new InvalidManifestError(`${where} is nested too deep`, { where });
    const node = await sizedNode(source, raw, options.signal);
    const fresh = node.children.filter(({ digest }) => !seen.has(digest));
    for (const { digest } of fresh) seen.add(digest);
    if (seen.size > MAX_MANIFESTS) throw new InvalidManifestError(`${where} leads to too many manifests`, { where });
    const below = await mapLimited(fresh, PARALLEL, async (child) => {
      if (await options.isThere(child)) return [];
      return visit(await source.manifest({ digest: child.digest }, options), depth + 1);
    });
    return [...below.flat(), node];
  };
  return visit(top, 0);
}

async function sizedNode(source: ImageSource, raw: RawManifest, signal: AbortSignal): Promise<ManifestNode> {
  const node = parseNode(raw);
  return isSchema1Type(raw.descriptor.mediaType) ? { ...node, blobs: await sizedBlobs(source, raw, signal) } : node;
}

/** All blobs that a manifest of schema 1 names, each once; the source tells their sizes, and must be able to. */
export async function sizedBlobs(source: ImageSource, raw: RawManifest, signal: AbortSignal): Promise<Descriptor[]> {
  const { digest, mediaType } = raw.descriptor;
  const where = `manifest ${digest}`;
  if (source.blobSize === undefined) throw new InvalidManifestError(`${where} is of schema 1`, { where });
  const { steps } = parseSchema1(raw.bytes, mediaType, where);
  return mapLimited([...new Set(steps.map(({ blob }) => blob))], PARALLEL, async (blob) => ({
    mediaType: MEDIA_TYPE.dockerLayerGzip,
    digest: blob,
    size: await source.blobSize!(blob, { signal }),
  }));
}

/** Takes a manifest apart; of schema 1, all but its blobs. Throws InvalidManifestError, UnsupportedMediaTypeError. */
export function parseNode(raw: RawManifest): ManifestNode {
  const { digest, mediaType } = raw.descriptor;
  if (isSchema1Type(mediaType)) return { raw, blobs: [], children: [], kind: 'manifest' };
  const document = parseManifest(raw.bytes, mediaType, `manifest ${digest}`);
  if (document.kind === 'manifest') {
    const blobs = unique([...document.layers, document.config]);
    return { raw, blobs, children: [], kind: 'manifest' };
  }
  const isManifest = (entry: Descriptor): boolean => isIndexType(entry.mediaType) || isManifestType(entry.mediaType);
  return {
    raw,
    blobs: unique(document.manifests.filter((entry) => !isManifest(entry))),
    children: unique(document.manifests.filter(isManifest)),
    kind: 'index',
  };
}

function unique(descriptors: readonly Descriptor[]): Descriptor[] {
  return [...new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor])).values()];
}
