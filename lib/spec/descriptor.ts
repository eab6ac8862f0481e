import { InvalidManifestError } from '../errors.js';
import { isDigest, type Digest } from './digest.js';
import type { Platform } from './platform.js';

/** Points to bytes: what they are, their digest, their size in bytes (image-spec descriptor.md). */
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

/** Layers that a registry does not have by design: their manifest says where to get them (image-spec, "urls"). */
export function isKeptElsewhere({ mediaType, urls }: Pick<Descriptor, 'mediaType' | 'urls'>): boolean {
  return (urls?.length ?? 0) > 0 && /nondistributable|foreign/.test(mediaType);
}

/** A document as received or built: never serialised again, so its digest stays. */
export interface RawManifest {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
}

/**
 * Checks one descriptor of a parsed document; `where` is its JSON path. Bytes embedded in it (`data`) are dropped: nobody has
 * checked them, and what the digest names is fetched anyway. Throws InvalidManifestError.
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail('is not a descriptor', where);
  const { mediaType, digest, size, urls } = value as Record<string, unknown>;
  if (typeof mediaType !== 'string' || mediaType === '') fail('has no mediaType', where);
  if (!isDigest(digest)) fail(`has no valid digest: ${JSON.stringify(digest)?.slice(0, 100)}`, where);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) fail('has no valid size', where);
  if (urls !== undefined && !(Array.isArray(urls) && urls.every((url) => typeof url === 'string')))
    fail('has bad urls', where);
  if (!('data' in value)) return value as Descriptor;
  const checked: Record<string, unknown> = { ...value };
  delete checked.data;
  return checked as unknown as Descriptor;
}

function fail(what: string, where: string): never {
  throw new InvalidManifestError(`${where} ${what}`, { where });
}
