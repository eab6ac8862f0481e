import { UsageError } from '../../errors.js';
import { hostPlatform, type Digest, type ImageSelector, type ImageSource } from '../../spec/index.js';
import { copyReferrers } from './copy-referrers.js';
import { copyTree, eachTarget, TargetCopy, type CopiedTarget, type CopyDeps, type CopyTarget } from './copy-tree.js';
import { selectManifest, type Selection } from './select-manifest.js';

/** What to copy where. */
export interface CopyRequest {
  readonly source: ImageSource;
  readonly selector: ImageSelector;
  readonly targets: readonly CopyTarget[];
  readonly selection: Selection;
  /** Fails rather than rewriting anything. */
  readonly preserveDigests: boolean;
  /** Copies what refers to the image too: signatures, SBOMs, attestations. */
  readonly referrers: boolean;
  /** Told the digest that targets will have, before anything is sent; what it throws ends the copy. */
  readonly check?: (digest: Digest) => void;
  /** Says nothing of a rewritten index. */
  readonly quiet?: boolean;
  readonly signal: AbortSignal;
}

/** Result of a copy; `targets` in the order given. */
export interface CopiedImage {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly targets: readonly CopiedTarget[];
}

/**
 * Copies an image to all targets, reading it once: blobs, then manifests by digest, the index, the tags last. Manifests
 * keep their bytes. What a target has already stays; running again resumes. A failing target is told in the result and
 * does not hold up the others; throws what the source throws, AbortError, and the error when there is one target only.
 */
export async function copyImage(deps: CopyDeps, request: CopyRequest): Promise<CopiedImage> {
  const { source, selector, signal } = request;
  const found = await source.manifest(selector, { signal });
  const { raw, rewritten } = await selectManifest(source, found, { ...request, selection: selectionFor(request) });
  request.check?.(raw.descriptor.digest);
  if (rewritten && request.quiet !== true) {
    deps.progress.note(`the index is rewritten to the platforms asked for: it has digest ${raw.descriptor.digest} now`);
  }
  const copies = request.targets.map((target) => new TargetCopy(target));
  await copyTree(deps, { source, top: raw, copies, signal });
  if (request.referrers) {
    await copyReferrers(deps, { source, top: raw, copies: copies.filter(({ error }) => error === undefined), signal });
  }
  await eachTarget(copies, signal, async ({ destination, tags }, copy) => {
    for (const tag of tags) await copy.putManifest(raw, tag, signal);
    if (tags.length === 0 && !copy.has(raw.descriptor)) await copy.putManifest(raw, undefined, signal);
    await destination.commit({ signal, untagged: tags.length === 0 ? raw : undefined });
  });
  const failed = copies.find(({ error }) => error !== undefined);
  if (failed !== undefined && copies.length === 1) throw failed.error!;
  const { digest, mediaType } = raw.descriptor;
  return { digest, mediaType, targets: copies.map((copy) => copy.result()) };
}

function selectionFor({ selection, targets }: CopyRequest): Selection {
  const single = targets.find(({ destination }) => !destination.takesIndex);
  if (single === undefined || selection.kind === 'one') return selection;
  const platform = selection.kind === 'platforms' && selection.platforms.length === 1 && selection.platforms[0];
  if (platform) return { kind: 'one', platform };
  if (selection.kind === 'all') return { kind: 'one', platform: hostPlatform() };
  throw new UsageError(`${single.destination.name} holds one platform only`, {
    hint: 'choose one with --platform',
  });
}
