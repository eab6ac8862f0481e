import { isLooseV1Id, isRepositoryName, isTag } from '../../spec/index.js';
import { v1Error } from './v1-error.js';

/** The target of a v1 request. Its names, tags and IDs are valid. */
export type V1Route =
  | { readonly kind: 'ping' }
  | { readonly kind: 'users' }
  | { readonly kind: 'search' }
  | { readonly kind: 'repository' | 'index' | 'tags' | 'details'; readonly repository: string }
  | { readonly kind: 'tag' | 'tag-details'; readonly repository: string; readonly tag: string }
  | { readonly kind: 'access'; readonly repository: string; readonly id: string }
  | { readonly kind: 'json' | 'layer' | 'checksum' | 'ancestry'; readonly id: string };

/** True for the URL of a v1 request. */
export function isV1Url(url: string): boolean {
  return /^\/v1(\/|$|\?)/.test(url);
}

/**
 * Parses the path and query of a v1 request. Throws RequestError for unknown endpoints and invalid names, tags and IDs,
 * so that no external input can act as a file path.
 */
export function parseV1Target(url: string): { readonly route: V1Route; readonly query: URLSearchParams } {
  const mark = url.indexOf('?');
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  const segments = decode(mark < 0 ? url : url.slice(0, mark))
    .replace(/\/+$/, '')
    .split('/')
    .slice(2);
  const [first] = segments;
  if (first === 'images' && segments.length === 3) return { route: imageRoute(segments[1]!, segments[2]!), query };
  if (first === 'repositories') return { route: repositoryRoute(segments.slice(1)), query };
  if (segments.length === 1 && first === '_ping') return { route: { kind: 'ping' }, query };
  if (segments.length === 1 && first === 'users') return { route: { kind: 'users' }, query };
  if (segments.length === 1 && first === 'search') return { route: { kind: 'search' }, query };
  throw noEndpointError();
}

function imageRoute(id: string, what: string): V1Route {
  if (what !== 'json' && what !== 'layer' && what !== 'checksum' && what !== 'ancestry') throw noEndpointError();
  return { kind: what, id: imageId(id) };
}

function repositoryRoute(segments: readonly string[]): V1Route {
  const [last, before] = [segments.at(-1), segments.at(-2)];
  const name = (tail: number): string => repositoryName(segments.slice(0, segments.length - tail).join('/'));
  if (last === 'access' && segments.at(-3) === 'layer' && segments.length > 3)
    return { kind: 'access', repository: name(3), id: imageId(before!) };
  if (last === 'json' && segments.at(-3) === 'tags' && segments.length > 3)
    return { kind: 'tag-details', repository: name(3), tag: tagName(before!) };
  if (before === 'tags' && segments.length > 2) return { kind: 'tag', repository: name(2), tag: tagName(last!) };
  if (segments.length > 1 && last === 'tags') return { kind: 'tags', repository: name(1) };
  if (segments.length > 1 && last === 'images') return { kind: 'index', repository: name(1) };
  if (segments.length > 1 && last === 'json') return { kind: 'details', repository: name(1) };
  return { kind: 'repository', repository: name(0) };
}

function imageId(text: string): string {
  if (!isLooseV1Id(text)) throw v1Error(404, 'Invalid image ID');
  return text;
}

function tagName(text: string): string {
  if (!isTag(text)) throw v1Error(400, 'Invalid tag name');
  return text;
}

function repositoryName(text: string): string {
  if (!isRepositoryName(text)) throw v1Error(400, 'Invalid repository name');
  return text;
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw v1Error(400, 'Invalid path');
  }
}

function noEndpointError(): Error {
  return v1Error(404, 'No such endpoint');
}
