import { InvalidManifestError } from '../../errors.js';
import {
  isIndexType,
  isManifestType,
  parseManifest,
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
    const node = parseNode(raw);
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

/** Takes a manifest apart. Throws InvalidManifestError, UnsupportedMediaTypeError. */
export function parseNode(raw: RawManifest): ManifestNode {
  const { digest, mediaType } = raw.descriptor;
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
