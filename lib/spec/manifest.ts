import { InvalidManifestError, UnsupportedMediaTypeError } from '../errors.js';
import { parseDescriptor, type Descriptor, type RawManifest } from './descriptor.js';
import { digestOf } from './digest.js';
import { listOf, membersOf, recordOf, text } from './json-checks.js';
import { parseJson } from './parse-json.js';
import { baseMediaType, isIndexType, isManifestType, MEDIA_TYPE } from './media-type.js';

/** The size in bytes that registries must accept according to the distribution-spec; larger documents are refused. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** More layers than any engine supports (Docker's limit is 127). */
const MAX_LAYERS = 1024;

const anything = (value: unknown): unknown => value;

const checkMembers = membersOf({
  mediaType: text,
  artifactType: text,
  annotations: recordOf(text),
  manifests: listOf(anything),
  layers: listOf(anything),
  config: anything,
  subject: anything,
});

/** An image manifest, OCI or Docker schema 2 (image-spec manifest.md). */
export interface ImageManifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  /** Oldest first. */
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image index or Docker manifest list (image-spec image-index.md). */
export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * Parses and checks a manifest or index. `contentType` is the type it was served with ('' when unknown); a `mediaType`
 * inside must agree with it. Lists and members that are `null` count as absent. Refuses documents that are both a
 * manifest and an index (CVE-2021-41190). Throws InvalidManifestError, UnsupportedMediaTypeError.
 */
export function parseManifest(bytes: Uint8Array, contentType: string, where: string): ImageManifest | ImageIndex {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new InvalidManifestError(`${where} is ${bytes.byteLength} bytes, over the limit of ${MAX_MANIFEST_BYTES}`, {
      where,
    });
  }
  const fields = checkMembers(parseJson(bytes, where), { where, path: '' });
  const mediaType = agreedMediaType(fields, baseMediaType(contentType), where);
  if (fields.schemaVersion !== 2)
    throw new InvalidManifestError(`${where} has schemaVersion ${JSON.stringify(fields.schemaVersion)}, not 2`, {
      where,
    });
  if (fields.manifests !== undefined && (fields.layers !== undefined || fields.config !== undefined)) {
    throw new InvalidManifestError(`${where} is both an index and a manifest (CVE-2021-41190)`, { where });
  }
  const { subject, artifactType, annotations } = fields;
  const common = {
    mediaType,
    ...(subject === undefined ? {} : { subject: parseDescriptor(subject, `${where} subject`) }),
    ...(artifactType === undefined ? {} : { artifactType: artifactType as string }),
    ...(annotations === undefined ? {} : { annotations: annotations as Record<string, string> }),
  };
  if (isIndexType(mediaType)) {
    return { kind: 'index', ...common, manifests: parseDescriptors(fields.manifests, `${where} manifests`, Infinity) };
  }
  return {
    kind: 'manifest',
    ...common,
    config: parseDescriptor(fields.config, `${where} config`, { isTypeOptional: true }),
    layers: parseDescriptors(fields.layers, `${where} layers`, MAX_LAYERS),
  };
}

/** Writes a manifest or index. */
export function rawManifest(document: { readonly mediaType: string; readonly [member: string]: unknown }): RawManifest {
  const bytes = Buffer.from(JSON.stringify(document));
  return { bytes, descriptor: { mediaType: document.mediaType, digest: digestOf(bytes), size: bytes.length } };
}

function agreedMediaType(fields: Record<string, unknown>, served: string, where: string): string {
  const stated = fields.mediaType as string | undefined;
  const known = (type: string): boolean => isIndexType(type) || isManifestType(type);
  if (stated !== undefined && stated !== '') {
    if (!known(stated)) throw unsupportedError(stated, where);
    if (known(served) && served !== stated) {
      throw new InvalidManifestError(`${where} was served as ${served} but says it is ${stated} (CVE-2021-41190)`, {
        where,
      });
    }
    return stated;
  }
  if (known(served)) return served;
  // mediaType is optional in OCI; a document without it that was served as plain JSON is recognized by its shape.
  if (fields.schemaVersion === 2 && Array.isArray(fields.manifests)) return MEDIA_TYPE.ociIndex;
  if (fields.schemaVersion === 2 && fields.config !== undefined) return MEDIA_TYPE.ociManifest;
  throw unsupportedError(fields.schemaVersion === 1 ? MEDIA_TYPE.dockerSchema1Signed : served || 'unknown', where);
}

function unsupportedError(mediaType: string, where: string): UnsupportedMediaTypeError {
  return new UnsupportedMediaTypeError(`${where} is of type ${mediaType.slice(0, 200)}, which imgtool cannot read`, {
    mediaType,
  });
}

function parseDescriptors(value: unknown, where: string, limit: number): Descriptor[] {
  const list = (value ?? []) as unknown[];
  if (list.length > limit)
    throw new InvalidManifestError(`${where} has ${list.length} entries, over the limit of ${limit}`, { where });
  return list.map((entry, index) => parseDescriptor(entry, `${where}[${index}]`));
}
