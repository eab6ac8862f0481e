import {
  digestHex,
  isIndexType,
  isManifestType,
  MEDIA_TYPE,
  rawManifest,
  referrersTag,
  type Descriptor,
  type Digest,
  type ImageSource,
  type RawManifest,
} from '../../spec/index.js';
import { ifFound } from '../../util/index.js';
import { parseNode } from '../convert/index.js';
import { type CopyDeps, copyTree, eachTarget, type TargetCopy } from './copy-tree.js';

/** Suffixes of the tags under which cosign stores signatures, attestations and SBOMs (cosign, "SIGNATURE_SPEC.md"). */
const COSIGN_SUFFIXES = ['sig', 'att', 'sbom'] as const;
const MAX_DEPTH = 3;

interface Job {
  readonly source: ImageSource;
  readonly top: RawManifest;
  readonly copies: readonly TargetCopy[];
  readonly signal: AbortSignal;
}

/**
 * Copies what refers to `top` and to its manifests: referrers, their referrers, and cosign's tags. Updates the
 * referrers tag at registries without the referrers API. Only registry sources have referrers. Throws the errors of
 * source and targets.
 */
export async function copyReferrers(deps: CopyDeps, job: Job): Promise<void> {
  if (job.source.referrers === undefined) return;
  const node = parseNode(job.top);
  const subjects = [...node.children.map(({ digest }) => digest), job.top.descriptor.digest];
  for (const subject of subjects) await copyReferrersOf(deps, { ...job, subject, depth: 0 });
}

async function copyReferrersOf(
  deps: CopyDeps,
  job: Job & { readonly subject: Digest; readonly depth: number },
): Promise<void> {
  const { source, copies, signal, subject, depth } = job;
  if (depth > MAX_DEPTH) return;
  const { via, descriptors } = await source.referrers!(subject, { signal });
  for (const { digest } of descriptors) {
    await copyReferrersOf(deps, { ...job, subject: digest, depth: depth + 1 });
    await copyIfThere(deps, job, { digest });
  }
  if (descriptors.length > 0) {
    const list = via === 'tag' ? await source.manifest({ tag: referrersTag(subject) }, { signal }) : undefined;
    await eachTarget(copies, signal, (_target, copy) => keepAccount(copy, { subject, descriptors, list }, signal));
  }
  const stem = `sha256-${digestHex(subject)}`;
  for (const suffix of COSIGN_SUFFIXES) {
    if (subject.startsWith('sha256:')) await copyIfThere(deps, job, { tag: `${stem}.${suffix}` });
  }
}

/** Copies a manifest with everything it names, if it exists. */
async function copyIfThere(
  deps: CopyDeps,
  { source, copies, signal }: Job,
  selector: { readonly digest: Digest } | { readonly tag: string },
): Promise<void> {
  // A listed referrer may have been deleted, and most images have no signature.
  const raw = await ifFound(source.manifest(selector, { signal }));
  if (raw === undefined) return;
  await copyTree(deps, { source, top: raw, copies, signal });
  const tag = 'tag' in selector ? selector.tag : undefined;
  await eachTarget(copies, signal, async (_target, copy) => {
    if (tag !== undefined || !copy.has(raw.descriptor)) await copy.putManifest(raw, tag, signal);
  });
}

/**
 * Adds referrers to the referrers tag of a registry without the referrers API (distribution-spec, "Referrers Tag
 * Schema").
 */
async function keepAccount(
  copy: TargetCopy,
  source: {
    readonly subject: Digest;
    readonly descriptors: readonly Descriptor[];
    /** The source's own list; used unchanged if the target has none. */
    readonly list: RawManifest | undefined;
  },
  signal: AbortSignal,
): Promise<void> {
  const { subject, descriptors, list } = source;
  const { destination } = copy.target;
  const kept = await destination.referrers?.(subject, { signal });
  if (kept === undefined || kept.via === 'api') return;
  const there = kept.descriptors;
  const known = new Set(there.map(({ digest }) => digest));
  const added = descriptors.filter(
    ({ digest, mediaType }) => !known.has(digest) && (isManifestType(mediaType) || isIndexType(mediaType)),
  );
  if (added.length === 0) return;
  const merged = list !== undefined && there.length === 0 ? list : indexOf([...there, ...added]);
  await copy.putManifest(merged, referrersTag(subject), signal);
}

function indexOf(manifests: readonly Descriptor[]): RawManifest {
  return rawManifest({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests });
}
