import { isDigest, isRepositoryName, isTag, type Digest } from '../spec/index.js';
import { RequestError } from './request-error.js';
import type { ManifestKey } from './types.js';

/** The target of a request. Its names, tags and digests are valid. */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly key: ManifestKey }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: Digest };

/** A parsed request target. */
export interface Target {
  readonly route: Route;
  readonly query: URLSearchParams;
}

const UPLOAD_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Parses the path and query of a request. The end of the path decides, because a repository may be named
 * `a/blobs/uploads`. Throws RequestError for unknown endpoints and invalid names, tags and digests, so that no external
 * input can act as a file path.
 */
export function parseTarget(url: string, method: string): Target {
  const mark = url.indexOf('?');
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  const segments = decodePath(mark < 0 ? url : url.slice(0, mark)).split('/');
  if (segments[0] !== '' || segments[1] !== 'v2') throw noEndpointError();
  return { route: parseSegments(segments.slice(2), method), query };
}

function parseSegments(segments: readonly string[], method: string): Route {
  const last = segments.at(-1) ?? '';
  const before = segments.at(-2);
  if (segments.length === 0 || (segments.length === 1 && last === '')) return { kind: 'base' };
  if (segments.length === 1 && last === '_catalog') return { kind: 'catalog' };
  if (before === 'tags' && last === 'list') return { kind: 'tags', repository: repositoryIn(segments, 2) };
  if (before === 'manifests') {
    return { kind: 'manifest', repository: repositoryIn(segments, 2), key: manifestKey(last, method) };
  }
  if (before === 'referrers') {
    return { kind: 'referrers', repository: repositoryIn(segments, 2), digest: digestIn(last) };
  }
  if (segments.at(-3) === 'blobs' && before === 'uploads') {
    const repository = repositoryIn(segments, 3);
    if (last === '') return { kind: 'uploads', repository };
    if (!UPLOAD_ID.test(last)) throw new RequestError(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload session');
    return { kind: 'upload', repository, id: last };
  }
  if (before === 'blobs') {
    if (last === 'uploads') return { kind: 'uploads', repository: repositoryIn(segments, 2) };
    return { kind: 'blob', repository: repositoryIn(segments, 2), digest: digestIn(last) };
  }
  throw noEndpointError();
}

/** An invalid tag or digest is unknown to readers and invalid from writers. */
function manifestKey(reference: string, method: string): ManifestKey {
  if (isDigest(reference)) return { digest: reference };
  if (isTag(reference)) return { tag: reference };
  if (method !== 'PUT') throw new RequestError(404, 'MANIFEST_UNKNOWN', 'no manifest has such a tag or digest');
  if (reference.includes(':')) throw new RequestError(400, 'DIGEST_INVALID', 'not a sha256 or sha512 digest');
  throw new RequestError(400, 'MANIFEST_INVALID', 'not a valid tag');
}

function repositoryIn(segments: readonly string[], tail: number): string {
  return repositoryNamed(segments.slice(0, -tail).join('/'));
}

/** Validates a digest from a path or query. Throws RequestError DIGEST_INVALID. */
export function digestIn(text: string): Digest {
  if (!isDigest(text)) throw new RequestError(400, 'DIGEST_INVALID', 'not a sha256 or sha512 digest');
  return text;
}

/** Validates a repository name. Throws RequestError NAME_INVALID. */
export function repositoryNamed(text: string): string {
  if (!isRepositoryName(text)) throw new RequestError(400, 'NAME_INVALID', 'invalid repository name');
  return text;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new RequestError(400, 'NAME_INVALID', 'the path is not valid percent-encoding');
  }
}

function noEndpointError(): RequestError {
  return new RequestError(404, 'UNSUPPORTED', 'no such endpoint');
}
