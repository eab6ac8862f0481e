import {
  DigestMismatchError,
  InvalidManifestError,
  NotFoundError,
  RegistryError,
  type ImgtoolError,
} from '../../errors.js';
import type { AuthScope } from '../../auth/index.js';
import type { BufferedResponse } from '../../http/index.js';
import {
  baseMediaType,
  digestAlgorithm,
  isDigest,
  isIndexType,
  isManifestType,
  isSchema1Type,
  manifestDigest,
  MANIFEST_ACCEPT,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  type Descriptor,
  type Digest,
  type RawManifest,
} from '../../spec/index.js';
import type { TagOrDigest } from '../types.js';
import type { Endpoint, EndpointRequest } from './endpoint.js';
import { responseError, isForeign, isHeadUnreliable, isPage, notARegistryError, type Asked } from './responses.js';

/** A repository at its endpoint, and the scope required there. */
export interface Place {
  readonly endpoint: Endpoint;
  readonly repository: string;
  readonly scope: AuthScope;
}

/** Schema 1 comes last, so that a registry that has nothing else reports it instead of answering 404. */
const ACCEPT = [
  ...MANIFEST_ACCEPT,
  `${MEDIA_TYPE.dockerSchema1Signed};q=0.5`,
  `${MEDIA_TYPE.dockerSchema1};q=0.4`,
].join(', ');
const MAX_ANSWER_BYTES = 64 * 1024;
const OCI_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPE.ociManifest, MEDIA_TYPE.ociIndex]);

/** HEAD of a manifest. Falls back to GET when HEAD lacks the digest or the size. Throws as RepositoryReader.resolve. */
export async function resolveManifest(place: Place, reference: TagOrDigest, signal: AbortSignal): Promise<Descriptor> {
  const response = await send(place, 'HEAD', reference, signal);
  const { facts } = place.endpoint;
  if (isHeadUnreliable(response, facts)) return (await getInstead(place, reference, signal)).descriptor;
  if (response.status !== 200) throw responseError(response, asked(place, 'HEAD', reference));
  facts.headWorks = !isForeign(response);
  const mediaType = baseMediaType(response.headers['content-type']);
  const digest = reference.digest ?? response.headers['docker-content-digest'];
  // The length of a compressed body is not that of the manifest.
  const isPacked = (response.headers['content-encoding'] ?? 'identity') !== 'identity';
  const size = isPacked ? NaN : Number(response.headers['content-length'] ?? NaN);
  if (!isDigest(digest) || !isKnownType(mediaType) || !Number.isSafeInteger(size) || size <= 0) {
    return (await fetchManifest(place, reference, { signal })).descriptor;
  }
  if (size > MAX_MANIFEST_BYTES) throw manifestTooLargeError(place, reference, `${size} bytes`);
  return { mediaType, digest, size };
}

/** GET after a HEAD that may be wrong. When both answer 404, later 404s to HEAD are trusted. */
async function getInstead(place: Place, reference: TagOrDigest, signal: AbortSignal): Promise<RawManifest> {
  try {
    return await fetchManifest(place, reference, { signal });
  } catch (error) {
    if (error instanceof NotFoundError) place.endpoint.facts.headWorks = true;
    throw error;
  }
}

/**
 * GET of a manifest, bytes as sent. For a tag, the bytes determine the digest, whatever the header or HEAD (`claimed`)
 * stated. Throws as RepositoryReader.manifest.
 */
export async function fetchManifest(
  place: Place,
  reference: TagOrDigest,
  { signal, claimed }: { readonly signal: AbortSignal; readonly claimed?: Digest | undefined },
): Promise<RawManifest> {
  let before: Digest | undefined;
  for (let attempt = 1; ; attempt++) {
    const response = await send(place, 'GET', reference, signal);
    if (response.status !== 200) throw responseError(response, asked(place, 'GET', reference));
    if (isPage(response)) throw notARegistryError(response, asked(place, 'GET', reference));
    const { body: bytes, truncated } = response;
    if (truncated)
      throw manifestTooLargeError(place, reference, `${response.headers['content-length'] ?? 'many'} bytes`);
    const stated = response.headers['docker-content-digest'];
    // The caller trusts a pinned digest; without one, the header still detects a damaged transfer (GO-2024-3038).
    const expected = reference.digest ?? (isDigest(stated) ? stated : undefined);
    const mediaType = documentType(baseMediaType(response.headers['content-type']), bytes);
    const actual = manifestDigest(bytes, mediaType, expected === undefined ? 'sha256' : digestAlgorithm(expected));
    const isExpected = expected === undefined || actual === expected;
    // The same bytes twice: the transfer is fine and the header is wrong.
    if (isExpected || (reference.digest === undefined && actual === before)) {
      const wrong = isExpected ? claimed : expected;
      if (wrong !== undefined && wrong !== actual) warnOf(place, reference, { claimed: wrong, actual });
      return { bytes, descriptor: { mediaType, digest: actual, size: bytes.length } };
    }
    if (attempt > 1) throw manifestDigestError(place, reference, { expected, actual });
    before = actual;
  }
}

function warnOf(
  { endpoint, repository }: Place,
  reference: TagOrDigest,
  { claimed, actual }: { readonly claimed: Digest; readonly actual: Digest },
): void {
  const name = nameOf(endpoint.host, repository, reference);
  endpoint.warn(`${endpoint.host} reports digest ${claimed} for ${name}, but its bytes have ${actual}`);
}

/** HEAD of a manifest by digest. Throws as RepositoryWriter does. */
export async function hasManifest(place: Place, digest: Digest, signal: AbortSignal): Promise<boolean> {
  const response = await send(place, 'HEAD', { digest }, signal);
  if (response.status === 200 && !isForeign(response)) return true;
  if (response.status === 404 || isHeadUnreliable(response, place.endpoint.facts)) return false;
  throw responseError(response, asked(place, 'HEAD', { digest }));
}

/** PUT of a manifest. Throws as RepositoryWriter does. */
export async function putManifest(
  place: Place,
  { bytes, descriptor }: RawManifest,
  { reference, signal }: { readonly reference: TagOrDigest; readonly signal: AbortSignal },
): Promise<void> {
  const { endpoint, repository, scope } = place;
  const path = `/v2/${repository}/manifests/${reference.tag ?? reference.digest}`;
  const headers = { 'content-type': descriptor.mediaType };
  const response = await endpoint.request(
    { method: 'PUT', path, headers, body: bytes, scope, signal },
    MAX_ANSWER_BYTES,
  );
  const what = asked(place, 'PUT', reference.tag === undefined ? reference : { tag: reference.tag });
  if (response.status !== 201 && response.status !== 200 && response.status !== 202) {
    const error = responseError(response, what);
    if (!(error instanceof RegistryError)) throw error;
    if (isSchema1Type(descriptor.mediaType)) throw schema1RefusedError(error);
    throw OCI_TYPES.has(descriptor.mediaType) && isTypeRefused(error) ? ociRefusedError(error) : error;
  }
  if (isForeign(response)) throw notARegistryError(response, what);
  const stored = response.headers['docker-content-digest'];
  if (!isDigest(stored) || stored === descriptor.digest) return;
  throw new DigestMismatchError(`${endpoint.host} stored ${what.subject} as ${stored}, not ${descriptor.digest}`, {
    expected: descriptor.digest,
    actual: stored,
    hint: 'the registry changes manifests: digests of this image differ there',
  });
}

/** DELETE of a manifest or a tag. Throws as RepositoryWriter.deleteManifest. */
export async function deleteManifest(place: Place, reference: TagOrDigest, signal: AbortSignal): Promise<void> {
  const { endpoint, repository, scope } = place;
  const path = `/v2/${repository}/manifests/${reference.digest ?? reference.tag}`;
  const response = await endpoint.request({ method: 'DELETE', path, scope, signal }, MAX_ANSWER_BYTES);
  if (response.status >= 200 && response.status < 300 && !isForeign(response)) return;
  throw responseError(response, asked(place, 'DELETE', reference));
}

function send(
  place: Place,
  method: 'HEAD' | 'GET',
  reference: TagOrDigest,
  signal: AbortSignal,
): Promise<BufferedResponse> {
  const { endpoint, repository, scope } = place;
  const request: EndpointRequest = {
    method,
    path: `/v2/${repository}/manifests/${reference.digest ?? reference.tag}`,
    headers: { accept: ACCEPT },
    scope,
    signal,
    // Everything else waits for the manifest.
    priority: Number.MAX_SAFE_INTEGER,
  };
  return endpoint.request(request, MAX_MANIFEST_BYTES);
}

function isKnownType(mediaType: string): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType) || isSchema1Type(mediaType);
}

/** Static file servers and some proxies serve manifests as generic JSON or bytes; the document then states its type. */
function documentType(served: string, bytes: Buffer): string {
  if (isKnownType(served)) return served;
  try {
    const document = JSON.parse(bytes.toString('utf8')) as Record<string, unknown> | null;
    const stated = document?.mediaType;
    if (typeof stated === 'string' && isKnownType(stated)) return stated;
    if (document?.schemaVersion === 1)
      return document.signatures === undefined ? MEDIA_TYPE.dockerSchema1 : MEDIA_TYPE.dockerSchema1Signed;
  } catch {
    // Not JSON; the parser will report it.
  }
  return served;
}

function asked({ endpoint, repository }: Place, method: string, reference: TagOrDigest): Asked {
  return {
    method,
    host: endpoint.host,
    repository,
    kind: 'manifest',
    subject: nameOf(endpoint.host, repository, reference),
  };
}

function nameOf(host: string, repository: string, { tag, digest }: TagOrDigest): string {
  return `${host}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}

function manifestTooLargeError({ endpoint, repository }: Place, reference: TagOrDigest, what: string): ImgtoolError {
  const where = nameOf(endpoint.host, repository, reference);
  return new InvalidManifestError(`manifest ${where} is ${what}, over the limit of ${MAX_MANIFEST_BYTES}`, { where });
}

/** docker-registry answers 500 when schema 1 is not enabled. */
function schema1RefusedError(cause: RegistryError): RegistryError {
  const { message, status, method, url, diagnostics } = cause;
  const hint =
    'it may not accept Docker schema 1 (docker-registry does with compatibility.schema1.enabled: true): use another --format';
  return new RegistryError(message, { status, method, url, diagnostics, hint, cause });
}

/** Registries older than OCI report an unknown type or an unreadable manifest. */
function isTypeRefused({ status, diagnostics }: RegistryError): boolean {
  return status === 415 || (status === 400 && diagnostics.some(({ code }) => code === 'MANIFEST_INVALID'));
}

function ociRefusedError(cause: RegistryError): RegistryError {
  const { message, status, method, url, diagnostics } = cause;
  const hint = 'it may not accept OCI manifests: use --format v2s2';
  return new RegistryError(message, { status, method, url, diagnostics, hint, cause });
}

function manifestDigestError(
  { endpoint, repository }: Place,
  reference: TagOrDigest,
  digests: { expected: Digest; actual: Digest },
): ImgtoolError {
  const what = `manifest ${nameOf(endpoint.host, repository, reference)}`;
  return new DigestMismatchError(`${what} came with digest ${digests.actual}, not ${digests.expected}`, {
    ...digests,
    hint: 'the registry or a proxy altered the data; none of it was used',
  });
}
