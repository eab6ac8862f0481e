import { InvalidManifestError } from '../errors.js';
import { isObject } from './json-checks.js';
import { parseJson } from './parse-json.js';
import type { RawManifest } from './descriptor.js';
import { digestOf, isDigest, type Digest, type DigestAlgorithm } from './digest.js';
import { baseMediaType, MEDIA_TYPE } from './media-type.js';
import { readSignedDocument, signDocument, verifySignatures } from './schema1-signature.js';
import { checkV1Members, type V1Document } from './v1/v1-image.js';

/** One image in the chain of a schema 1 manifest. */
export interface Schema1Step {
  readonly id: string;
  readonly blob: Digest;
  readonly json: V1Document;
  /** True when it changes no files, so that its blob is not a layer. */
  readonly empty: boolean;
}

/** A Docker image manifest version 2, schema 1 (distribution manifest/schema1). */
export interface Schema1Manifest {
  readonly name: string;
  readonly tag: string;
  readonly architecture: string;
  /** Oldest first. */
  readonly steps: readonly Schema1Step[];
  /** Digest of the payload without signatures, which change with every fetch. */
  readonly digest: Digest;
  readonly signed: boolean;
}

/** More steps than any engine supports, including configuration steps. */
const MAX_STEPS = 4096;

/** True for the media types of schema 1 manifests. */
export function isSchema1Type(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.dockerSchema1 || mediaType === MEDIA_TYPE.dockerSchema1Signed;
}

/**
 * Digest of a manifest: of its bytes, or of the payload of a signed schema 1 manifest (distribution manifest/schema1).
 * Throws InvalidManifestError when that cannot be parsed.
 */
export function manifestDigest(bytes: Buffer, mediaType: string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  const signed = isSchema1Type(mediaType) ? readSignedDocument(bytes, 'the manifest') : undefined;
  return digestOf(signed?.payload ?? bytes, algorithm);
}

/**
 * Parses a schema 1 manifest and checks its signatures, lengths and chain of parents. Ignores everything outside the
 * signed payload. `where` names it in messages. Throws InvalidManifestError.
 */
export function parseSchema1(bytes: Buffer, contentType: string, where: string): Schema1Manifest {
  const signed = readSignedDocument(bytes, where);
  if (signed !== undefined) verifySignatures(signed, where);
  else if (baseMediaType(contentType) === MEDIA_TYPE.dockerSchema1Signed) fail('has no signatures', where);
  const payload = signed?.payload ?? bytes;
  const document = parseJson(payload, where);
  if (!isObject(document)) fail('is not a JSON object', where);
  const { schemaVersion, name, tag, architecture, fsLayers, history } = document;
  if (schemaVersion !== 1) fail(`has schemaVersion ${JSON.stringify(schemaVersion)?.slice(0, 40)}, not 1`, where);
  if (typeof name !== 'string' || typeof tag !== 'string') fail('has no name or no tag', where);
  if (!Array.isArray(fsLayers) || !Array.isArray(history)) fail('has no list of layers or no history', where);
  if (fsLayers.length !== history.length || fsLayers.length === 0)
    fail(`has ${fsLayers.length} layers for ${history.length} history entries`, where);
  if (fsLayers.length > MAX_STEPS) fail(`has ${fsLayers.length} layers, over the limit of ${MAX_STEPS}`, where);
  return {
    name,
    tag,
    architecture: typeof architecture === 'string' && architecture !== '' ? architecture : 'amd64',
    steps: chainOf(
      fsLayers.map((layer, i) => stepOf(layer, history[i], `${where} history[${i}]`)),
      where,
    ),
    digest: digestOf(payload),
    signed: signed !== undefined,
  };
}

/**
 * Changes the name of an image, which is part of the signed content: the result has the signature of a new key and
 * another digest. A signed manifest with that name already is returned unchanged. Throws the errors of `parseSchema1`.
 */
export function renameSchema1(
  manifest: RawManifest,
  { name, tag }: { readonly name: string; readonly tag: string },
): RawManifest {
  const { mediaType, digest } = manifest.descriptor;
  const where = `manifest ${digest}`;
  // A wrong signature must not be replaced with a right one.
  const now = parseSchema1(manifest.bytes, mediaType, where);
  if (now.name === name && now.tag === tag && now.signed) return manifest;
  const payload = readSignedDocument(manifest.bytes, where)?.payload ?? manifest.bytes;
  const document = parseJson(payload, where) as object;
  const isSame = now.name === name && now.tag === tag;
  const renamed = isSame ? payload : Buffer.from(JSON.stringify({ ...document, name, tag }, undefined, 3));
  const bytes = signDocument(renamed);
  const descriptor = { mediaType: MEDIA_TYPE.dockerSchema1Signed, digest: digestOf(renamed), size: bytes.length };
  return { bytes, descriptor };
}

/** Converts lists (newest first) to a chain (oldest first). Repeated entries, which old clients wrote, count once. */
function chainOf(newestFirst: readonly Schema1Step[], where: string): Schema1Step[] {
  const steps = newestFirst.filter(({ id }, i) => id !== newestFirst[i + 1]?.id);
  const seen = new Set<string>();
  steps.forEach(({ id, json }, i) => {
    const parent = json.parent === '' ? undefined : json.parent;
    if (parent !== steps[i + 1]?.id)
      fail(`names ${JSON.stringify(parent)?.slice(0, 80)} as parent of ${id}, but lists a different image`, where);
    if (seen.has(id)) fail(`lists ${id} twice`, where);
    seen.add(id);
  });
  return steps.reverse();
}

function stepOf(layer: unknown, entry: unknown, where: string): Schema1Step {
  const blob = (layer as { blobSum?: unknown } | null)?.blobSum;
  if (!isDigest(blob)) fail(`has no valid blobSum: ${JSON.stringify(blob)?.slice(0, 100)}`, where);
  const text = (entry as { v1Compatibility?: unknown } | null)?.v1Compatibility;
  if (typeof text !== 'string') fail('has no v1Compatibility', where);
  const json = parseJson(Buffer.from(text), where);
  if (!isObject(json)) fail('is not a JSON object', where);
  checkV1Members(json, { where, path: '' });
  const { id, throwaway } = json;
  // The server chose this ID, so it must never be a key for content (CVE-2014-8178).
  if (typeof id !== 'string' || !/^[0-9a-f]{64}$/.test(id)) fail('has no valid id', where);
  return { id, blob, json: json as unknown as V1Document, empty: throwaway === true };
}

function fail(what: string, where: string): never {
  throw new InvalidManifestError(`${where} ${what}`, { where });
}
