import { InvalidManifestError } from '../errors.js';
import { isDigest, type Digest } from './digest.js';
import { isObject, listOf, membersOf, recordOf, text } from './json-checks.js';
import type { Platform } from './platform.js';

/** A reference to bytes: media type, digest and size (image-spec descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
  readonly artifactType?: string;
}

/**
 * True for non-distributable (foreign) layers, which registries need not store: their manifest lists URLs for them
 * (image-spec, "urls").
 */
export function isNonDistributable({ mediaType, urls }: Pick<Descriptor, 'mediaType' | 'urls'>): boolean {
  return (urls?.length ?? 0) > 0 && /nondistributable|foreign/.test(mediaType);
}

/** A document as received or built. It is never serialised again, which preserves its digest. */
export interface RawManifest {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
}

const checkMembers = membersOf({
  mediaType: text,
  urls: listOf(text),
  annotations: recordOf(text),
  platform: membersOf({
    os: text,
    architecture: text,
    variant: text,
    'os.version': text,
    'os.features': listOf(text),
  }),
  artifactType: text,
});

/**
 * Checks one descriptor of a parsed document; `where` is its JSON path. Optional members that are `null` count as
 * absent, and so does a platform with neither system nor architecture. Embedded bytes (`data`) are dropped: they are
 * unverified, and the blob is fetched by its digest anyway. `isTypeOptional`: a missing media type becomes ''. Throws
 * InvalidManifestError.
 */
export function parseDescriptor(
  value: unknown,
  where: string,
  { isTypeOptional = false }: { readonly isTypeOptional?: boolean } = {},
): Descriptor {
  if (!isObject(value)) fail('is not a descriptor', where);
  const { data: _, platform, ...checked } = checkMembers(value, { where, path: '' });
  const { mediaType = '', digest, size } = checked;
  if (mediaType === '' && !isTypeOptional) fail('has no mediaType', where);
  if (!isDigest(digest)) fail(`has no valid digest: ${JSON.stringify(digest)?.slice(0, 100)}`, where);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) fail('has no valid size', where);
  const descriptor = { ...checked, mediaType } as Descriptor;
  return platform === undefined ? descriptor : { ...descriptor, ...platformOf(platform as Partial<Platform>) };
}

function platformOf({ os = '', architecture = '', ...more }: Partial<Platform>): { readonly platform?: Platform } {
  return os === '' && architecture === '' ? {} : { platform: { ...more, os, architecture } };
}

function fail(what: string, where: string): never {
  throw new InvalidManifestError(`${where} ${what}`, { where });
}
