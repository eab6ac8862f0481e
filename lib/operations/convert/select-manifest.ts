import { NotFoundError, UsageError } from '../../errors.js';
import {
  digestAlgorithm,
  digestOf,
  formatPlatform,
  isSchema1Type,
  parseManifest,
  type Descriptor,
  type ImageIndex,
  type ImageSource,
  type Platform,
  type RawManifest,
} from '../../spec/index.js';
import { choosePlatform, throughIndexes } from '../registry/index.js';

/** The selection from an index: everything, some platforms, or the image for one platform. */
export type Selection =
  | { readonly kind: 'all' }
  /** `lenient`: missing platforms are accepted if at least one exists. */
  | { readonly kind: 'platforms'; readonly platforms: readonly Platform[]; readonly lenient?: boolean }
  | { readonly kind: 'one'; readonly platform: Platform };

/** The annotation in which a BuildKit attestation names its manifest (buildkit, "attestation-storage.md"). */
export const ABOUT = 'vnd.docker.reference.digest';

/**
 * Selects what to copy of `raw`: all of it, one of its manifests, or an index rewritten to fewer platforms
 * (`rewritten`). Throws NotFoundError for a missing platform, UsageError when `preserveDigests` forbids rewriting.
 */
export async function selectManifest(
  source: ImageSource,
  raw: RawManifest,
  options: {
    readonly selection: Selection;
    readonly preserveDigests: boolean;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly raw: RawManifest; readonly rewritten: boolean }> {
  const { selection, signal } = options;
  if (selection.kind === 'all' || isSchema1Type(raw.descriptor.mediaType)) return { raw, rewritten: false };
  if (selection.kind === 'one') {
    const chosen = await throughIndexes(raw, selection.platform, (digest) => source.manifest({ digest }, { signal }));
    return { raw: chosen, rewritten: false };
  }
  const document = parseManifest(raw.bytes, raw.descriptor.mediaType, `manifest ${raw.descriptor.digest}`);
  if (document.kind === 'manifest') return { raw, rewritten: false };
  return subset(raw, document, selection, options.preserveDigests);
}

function subset(
  raw: RawManifest,
  index: ImageIndex,
  { platforms, lenient = false }: Extract<Selection, { readonly kind: 'platforms' }>,
  preserveDigests: boolean,
): { raw: RawManifest; rewritten: boolean } {
  const chosen = new Set<string>();
  let absent: unknown;
  for (const platform of platforms) {
    try {
      chosen.add(choosePlatform(index, platform).digest);
    } catch (error) {
      if (!lenient || !(error instanceof NotFoundError)) throw error;
      absent = error;
    }
  }
  if (chosen.size === 0) throw absent as Error;
  const keeps = ({ digest, annotations }: Descriptor): boolean =>
    chosen.has(digest) || chosen.has(annotations?.[ABOUT] ?? '');
  if (index.manifests.every(keeps)) return { raw, rewritten: false };
  if (preserveDigests) {
    throw new UsageError(
      `an index of ${platforms.map(formatPlatform).join(', ')} alone would have another digest than ${raw.descriptor.digest}`,
      { hint: 'leave out --preserve-digests, or copy the whole index with --all' },
    );
  }
  const document = JSON.parse(raw.bytes.toString('utf8')) as { manifests: Descriptor[] };
  const bytes = Buffer.from(JSON.stringify({ ...document, manifests: document.manifests.filter(keeps) }));
  const { mediaType, digest } = raw.descriptor;
  const descriptor = { mediaType, digest: digestOf(bytes, digestAlgorithm(digest)), size: bytes.length };
  return { raw: { bytes, descriptor }, rewritten: true };
}
