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

/** A manifest to copy, with everything that must be at the destination before it. */
export interface ManifestNode {
  readonly raw: RawManifest;
  /** The blobs it names, without duplicates. The config is last, because it is small and not urgent. */
  readonly blobs: readonly Descriptor[];
  /** The manifests it names. */
  readonly children: readonly Descriptor[];
  readonly kind: 'index' | 'manifest';
}

const MAX_DEPTH = 4;
const MAX_MANIFESTS = 10_000;
const PARALLEL = 6;

/**
 * Lists the manifests below `top` and `top` itself, each after those it names. Omits subtrees for which `isThere`
 * returns true, because every destination has them. Throws InvalidManifestError when there are too many levels or
 * manifests, and the errors of the source.
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

/** The blobs of a schema 1 manifest, without duplicates. The source must know their sizes. */
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

/**
 * Lists the contents of a manifest, except the blobs of schema 1. Throws InvalidManifestError,
 * UnsupportedMediaTypeError.
 */
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
