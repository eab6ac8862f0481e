import { InvalidReferenceError, NotFoundError, UsageError } from '../../errors.js';
import type { ProgressSink } from '../../progress/index.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  formatReference,
  type ImageIndex,
  isConfigType,
  MAX_CONFIG_BYTES,
  MEDIA_TYPE,
  parseImageConfig,
  parseManifest,
  type Platform,
  rawManifest,
  type RawManifest,
  type Reference,
  tagOrDigest,
  platformFrom,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { openRegistrySource, readBlob, type RegistrySource } from '../registry/index.js';
import { copyImage } from './copy-image.js';
import { CopyLimits } from './copy-tree.js';
import { openRegistryDestination } from './registry-destination.js';

/** An index to publish. */
export interface IndexOrder {
  /** Has a tag and no digest. */
  readonly target: Reference;
  /** Images and indexes at registries. A later entry replaces an earlier one for the same platform. */
  readonly sources: readonly Reference[];
  /** Keep the existing entries of the target, which must be an index. */
  readonly keepExisting: boolean;
  /** Overrides the platform in the config of a single image. */
  readonly platform?: Platform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** Default: OCI, unless all entries have Docker media types. */
  readonly format?: 'oci' | 'v2s2' | undefined;
  readonly signal: AbortSignal;
}

/** The published index. */
export interface MadeIndex {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

type MakeIndexDeps = Pick<OperationDeps, 'registry'> & {
  readonly progress: ProgressSink;
  /** The number of concurrent blobs. */
  readonly parallel: number;
};

/**
 * Publishes an index of images at registries under a tag. Images of other repositories are first copied to the target's
 * repository by digest. Throws InvalidReferenceError, UsageError, NotFoundError, and the errors of the registries.
 */
export async function makeIndex(deps: MakeIndexDeps, order: IndexOrder): Promise<MadeIndex> {
  const { target, sources, platform, signal } = order;
  const { tag } = target;
  if (tag === undefined || target.digest !== undefined) {
    throw new InvalidReferenceError(`${formatReference(target)} has no tag to publish an index under`, {
      input: formatReference(target),
      hint: 'write HOST/REPOSITORY:TAG',
    });
  }
  const base = order.keepExisting ? await existingIndex(deps, target, signal) : undefined;
  const entries = new Map<string, Descriptor>();
  for (const entry of base?.manifests ?? []) entries.set(keyOf(entry), entry);
  for (const reference of sources) {
    const source = await openRegistrySource(deps.registry, reference, { signal });
    const found = await entriesOf(source, reference, { platform, signal });
    await copyEntries(deps, source, found, order);
    for (const entry of found) entries.set(keyOf(entry), entry);
  }
  const index = buildIndex([...entries.values()], base, order);
  const writer = await deps.registry.openWriter(target, { signal });
  await writer.putManifest(index, { tag }, { signal });
  const { digest, mediaType } = index.descriptor;
  return { digest, mediaType, manifests: [...entries.values()] };
}

async function existingIndex(deps: MakeIndexDeps, target: Reference, signal: AbortSignal): Promise<ImageIndex> {
  const reader = await deps.registry.open(target, { signal, mirrors: false });
  const raw = await reader.manifest(tagOrDigest(target), { signal });
  const document = parseManifest(raw.bytes, raw.descriptor.mediaType, formatReference(target));
  if (document.kind === 'index') return document;
  throw new UsageError(`${formatReference(target)} is an image, not an index`, {
    hint: `make an index under another tag: imgtool manifest create REF ${formatReference(target)} …`,
  });
}

/** The entries of a source: those of an index, or the image with the platform in its config. */
async function entriesOf(
  source: RegistrySource,
  reference: Reference,
  { platform, signal }: Pick<IndexOrder, 'platform' | 'signal'>,
): Promise<readonly Descriptor[]> {
  const name = formatReference(reference);
  const raw = await source.manifest(tagOrDigest(reference), { signal });
  const document = parseManifest(raw.bytes, raw.descriptor.mediaType, name);
  if (document.kind === 'index') {
    if (platform === undefined) return document.manifests;
    throw new UsageError(`${name} is an index, whose entries have their own platforms`, {
      hint: 'leave out --platform, or name one image by its digest',
    });
  }
  const { mediaType, digest, size } = raw.descriptor;
  if (platform !== undefined) return [{ mediaType, digest, size, platform }];
  if (!isConfigType(document.config.mediaType)) return [{ mediaType, digest, size }];
  const bytes = await readBlob(source.reader.blob(document.config), { maxBytes: MAX_CONFIG_BYTES, signal });
  return [{ mediaType, digest, size, platform: platformFrom(parseImageConfig(bytes, `the config of ${name}`)) }];
}

/** Copies the entries to the target's repository: an index can only refer to manifests of its own repository. */
async function copyEntries(
  { registry, progress, parallel }: MakeIndexDeps,
  source: RegistrySource,
  entries: readonly Descriptor[],
  { target, signal }: IndexOrder,
): Promise<void> {
  const { host, repository } = source.repository;
  if (host === target.host && repository === target.repository) return;
  const destination = await openRegistryDestination(registry, target, { signal, mountFrom: source });
  for (const { digest } of entries)
    await copyImage(
      { progress, limits: new CopyLimits(parallel) },
      {
        ...{ source, selector: { digest }, selection: { kind: 'all' }, preserveDigests: true, referrers: false },
        ...{ targets: [{ destination, tags: [] }], signal },
      },
    );
}

function buildIndex(
  manifests: readonly Descriptor[],
  base: ImageIndex | undefined,
  { format, annotations, target }: IndexOrder,
): RawManifest {
  if (manifests.length === 0) {
    throw new NotFoundError('the index would have no entries', { kind: 'image', subject: formatReference(target) });
  }
  const isDocker = manifests.every(({ mediaType }) => mediaType.startsWith('application/vnd.docker.'));
  const byFormat = { oci: MEDIA_TYPE.ociIndex, v2s2: MEDIA_TYPE.dockerManifestList };
  const mediaType =
    format !== undefined
      ? byFormat[format]
      : (base?.mediaType ?? (isDocker ? MEDIA_TYPE.dockerManifestList : MEDIA_TYPE.ociIndex));
  const all = { ...base?.annotations, ...annotations };
  const hasAnnotations = Object.keys(all).length > 0;
  if (hasAnnotations && mediaType === MEDIA_TYPE.dockerManifestList) {
    throw new UsageError("Docker's manifest lists hold no annotations", { hint: 'use --format oci' });
  }
  return rawManifest({
    ...{ schemaVersion: 2, mediaType },
    ...(base?.artifactType === undefined ? {} : { artifactType: base.artifactType }),
    manifests,
    ...(base?.subject === undefined ? {} : { subject: base.subject }),
    ...(hasAnnotations ? { annotations: all } : {}),
  });
}

/** Entries with the same key replace each other. Attestations, which all have the platform `unknown`, are kept. */
function keyOf({ digest, platform }: Descriptor): string {
  if (platform === undefined || platform.os === 'unknown') return digest;
  return [formatPlatform(platform), platform['os.version'] ?? ''].join(' ');
}
