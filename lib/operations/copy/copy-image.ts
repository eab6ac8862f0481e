import { UsageError } from '../../errors.js';
import {
  hostPlatform,
  isSchema1Type,
  renameSchema1,
  type Descriptor,
  type Digest,
  type ImageDestination,
  type ImageSelector,
  type ImageSource,
  type RawManifest,
} from '../../spec/index.js';
import {
  type Conversion,
  type ConvertedImage,
  convertImage,
  parseNode,
  type Selection,
  selectManifest,
} from '../convert/index.js';
import type { BlobPlaces } from '../download/index.js';
import { mapLimited } from '../../util/index.js';
import { copyReferrers } from './copy-referrers.js';
import { type CopiedTarget, type CopyDeps, type CopyTarget, copyTree, eachTarget, TargetCopy } from './copy-tree.js';
import { type CopyEstimate, estimate } from './estimate.js';

export interface CopyRequest {
  readonly source: ImageSource;
  readonly selector: ImageSelector;
  /** The manifest or index that `selector` names, if it has been read already. */
  readonly top?: RawManifest | undefined;
  readonly targets: readonly CopyTarget[];
  readonly selection: Selection;
  /** Fail instead of rewriting anything. */
  readonly preserveDigests: boolean;
  /** Default: no conversion. */
  readonly conversion?: Conversion | undefined;
  /** Also copy what refers to the image: signatures, SBOMs, attestations. */
  readonly referrers: boolean;
  /** All targets are OCI layouts, whose readers expect OCI manifests. */
  readonly isLayout?: boolean;
  /** Called with the resulting digest before anything is sent. An exception ends the copy. */
  readonly check?: (digest: Digest) => void;
  /** Rename an image of schema 1, whose manifest contains its name, to the name that it is copied to. */
  readonly rename?: boolean;
  /** Suppress the note about a rewritten index. */
  readonly quiet?: boolean;
  readonly signal: AbortSignal;
}

/** The result of a copy; `targets` in the given order. */
export interface CopiedImage {
  readonly digest: Digest;
  /** The source's manifest or index. Targets have a different form of a schema 1 image, each with its own name. */
  readonly raw: RawManifest;
  readonly mediaType: string;
  readonly targets: readonly CopiedTarget[];
}

/**
 * Copies an image to all targets with one read: first blobs, then manifests by digest, the index, and finally the tags.
 * Manifests are copied byte for byte. Skips what a target already has, so running it again resumes. A failing target is
 * reported in the result and does not delay the others. Throws the errors of the source, AbortError, and the target's
 * error if there is only one.
 */
export async function copyImage(deps: CopyDeps, request: CopyRequest): Promise<CopiedImage> {
  const prepared = await prepare(deps, request);
  try {
    return await copyPrepared(deps, request, prepared);
  } finally {
    await prepared.close();
  }
}

/** The estimated effort of copying an image. */
export interface ImageCopyPlan extends CopyEstimate, Pick<CopiedImage, 'raw'> {
  /** The manifest that the first target would get. */
  readonly top: RawManifest;
  /** True for each target that already has the manifest, and therefore all blobs. */
  readonly there: readonly boolean[];
}

/**
 * Estimates the copy of an image to targets that share `known`. Queries the targets without changing them.
 * `deps.convert` must not store anything either. Throws as `copyImage`.
 */
export async function planImageCopy(
  deps: CopyDeps,
  request: CopyRequest & { readonly known: BlobPlaces },
): Promise<ImageCopyPlan> {
  const { targets, known, signal } = request;
  const prepared = await prepare(deps, { ...request, dryRun: true });
  try {
    const { source, raw } = prepared;
    const top = topFor(request, prepared);
    request.check?.(top.descriptor.digest);
    const destinations = targets.map(({ destination }) => destination);
    const there = await mapLimited(destinations, 1, (to) => to.hasManifest(top.descriptor, { signal }));
    const stale = destinations.filter((_, i) => !there[i]);
    if (stale.length > 0)
      return { ...(await estimate(source, top, { destinations: stale, known, signal })), raw, top, there };
    const states = destinations.map(() => 'present' as const);
    const blobs = parseNode(top).blobs.map((blob) => ({ blob, states }));
    return { blobs, bytes: 0, requests: 0, raw, top, there };
  } finally {
    await prepared.close();
  }
}

/** The selected and converted image. */
interface PreparedCopy {
  readonly source: ImageSource;
  readonly raw: RawManifest;
  readonly rewritten: boolean;
  readonly manifestFor: ConvertedImage['manifestFor'];
  close(): Promise<void>;
}

async function prepare(deps: CopyDeps, request: CopyRequest & { readonly dryRun?: boolean }): Promise<PreparedCopy> {
  const { source, selector, signal, preserveDigests, dryRun = false } = request;
  const found = request.top ?? (await source.manifest(selector, { signal }));
  const selected = await selectManifest(source, found, { ...request, selection: selectionFor(request) });
  const conversion = conversionFor(deps, request, selected.raw);
  if (conversion === undefined) {
    const manifestFor = renamerFor(deps, request, selected.raw);
    return { ...selected, source, manifestFor, close: () => Promise.resolve() };
  }
  const isThere = async (blob: Descriptor): Promise<boolean> => {
    const there = await mapLimited(request.targets, 1, ({ destination }) => destination.hasBlob(blob, { signal }));
    return there.every(Boolean);
  };
  const job = { source, top: selected.raw, conversion, preserveDigests, isThere, dryRun, signal };
  const converted = await convertImage(deps.convert!, job);
  const isChanged = converted.raw !== selected.raw;
  if (request.referrers && isChanged) {
    await converted.close();
    throw new UsageError('what refers to the image refers to its digest, which the conversion changes', {
      hint: 'leave out --referrers, or --format and --compression',
    });
  }
  return { manifestFor: undefined, ...converted, rewritten: selected.rewritten && !isChanged };
}

/**
 * The requested conversion. Additionally, schema 1 becomes OCI for targets that cannot hold it, and Docker manifests
 * become OCI in a layout, unless digests must be preserved. Throws UsageError.
 */
function conversionFor({ progress }: CopyDeps, request: CopyRequest, raw: RawManifest): Conversion | undefined {
  const { conversion, targets, source } = request;
  const plain = targets.find(({ destination }) => destination.takesSchema1 !== true);
  const { format, compression } = conversion ?? {};
  if (format === 'v2s1') {
    if (plain !== undefined) {
      throw new UsageError(`${plain.destination.name} cannot hold schema 1`, { hint: 'use --format oci or v2s2' });
    }
    if (targets.some(({ tags }) => tags.length === 0)) {
      throw new UsageError('an image of schema 1 needs a tag: it is part of its manifest', {
        hint: 'write HOST/REPOSITORY:TAG',
      });
    }
  }
  if (request.isLayout === true && format === undefined) {
    if (!request.preserveDigests && !request.referrers) return { ...conversion, format: 'oci' };
    if (/docker/.test(raw.descriptor.mediaType))
      progress.note("the layout gets Docker's manifest as it is, which skopeo before 1.10 and umoci cannot read");
  }
  if (format !== undefined || compression !== undefined) return conversion;
  // Layers without any remaining copy must be packed again. Not for v1, which accepts only layers that it had before,
  // with the same IDs.
  if (source.files !== undefined && !targets.every(({ destination }) => destination.sendsAtCommit)) return {};
  return plain !== undefined && isSchema1Type(raw.descriptor.mediaType) ? { format: 'oci' } : undefined;
}

async function copyPrepared(deps: CopyDeps, request: CopyRequest, prepared: PreparedCopy): Promise<CopiedImage> {
  const { signal } = request;
  const { source, rewritten } = prepared;
  const raw = topFor(request, prepared);
  request.check?.(raw.descriptor.digest);
  if (rewritten && request.quiet !== true) {
    deps.progress.note(`the index is rewritten to the platforms asked for: it has digest ${raw.descriptor.digest} now`);
  }
  const copies = request.targets.map((target) => new TargetCopy(target));
  await copyTree(deps, { source, top: raw, copies, signal });
  if (request.referrers) {
    // Reads the original source: nothing is converted in this case, but `source` may be the wrapper of a conversion.
    const left = copies.filter(({ error }) => error === undefined);
    await copyReferrers(deps, { source: request.source, top: raw, copies: left, signal });
  }
  await eachTarget(copies, signal, async ({ destination, tags }, copy) => {
    for (const tag of tags) await copy.putManifest(manifestAt(prepared, destination, tag), tag, signal);
    if (tags.length === 0 && !copy.has(raw.descriptor)) await copy.putManifest(raw, undefined, signal);
    await copy.commit(tags.length === 0 ? raw : undefined, signal);
  });
  const failed = copies.find(({ error }) => error !== undefined);
  if (failed !== undefined && copies.length === 1) throw failed.error!;
  const { digest, mediaType } = raw.descriptor;
  return { digest, mediaType, raw: prepared.raw, targets: copies.map((copy) => copy.result()) };
}

/** The manifest at the first target. */
function topFor({ targets }: CopyRequest, prepared: PreparedCopy): RawManifest {
  const [first] = targets;
  return first?.tags[0] === undefined ? prepared.raw : manifestAt(prepared, first.destination, first.tags[0]);
}

function manifestAt({ raw, manifestFor }: PreparedCopy, { repository }: ImageDestination, tag: string): RawManifest {
  return repository === undefined ? raw : (manifestFor?.(repository.repository, tag) ?? raw);
}

/** Renames an image of schema 1 for a target. Undefined for other images, and if the name must not change. */
function renamerFor(
  { progress }: CopyDeps,
  { rename }: CopyRequest,
  raw: RawManifest,
): ConvertedImage['manifestFor'] | undefined {
  if (rename !== true || !isSchema1Type(raw.descriptor.mediaType)) return undefined;
  const made = new Map<string, RawManifest>();
  return (name, tag) => {
    const place = `${name}:${tag}`;
    const known = made.get(place);
    if (known !== undefined) return known;
    const renamed = renameSchema1(raw, { name, tag });
    made.set(place, renamed);
    const [before, now] = [raw.descriptor.digest, renamed.descriptor.digest];
    if (now !== before)
      progress.note(`schema 1 names its image: re-signed as ${place}, with digest ${now} instead of ${before}`);
    return renamed;
  };
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
