import { InvalidManifestError, NotFoundError, RegistryError } from '../../errors.js';
import { redactUrl, type BufferedResponse, type HttpHeaders } from '../../http/index.js';
import {
  isDigest,
  isTag,
  isV1Id,
  MAX_V1_JSON_BYTES,
  parseAncestry,
  parseJson,
  parseV1Image,
  type Digest,
} from '../../spec/index.js';
import { backoffMs, delay, ifFound } from '../../util/index.js';
import type { V1Host } from './host.js';
import { imageAsked, type V1Place } from './place.js';
import { probe, pushImages } from './push.js';
import { readLayer } from './read-layer.js';
import { isUploading, v1Error, type Asked } from './responses.js';
import { V1Session, type V1Request } from './session.js';
import type { V1RemoteImage, V1Repository } from './types.js';

const MAX_LIST_BYTES = 32 * 1024 * 1024;
const MAX_TAGS = 100_000;
/** Attempts to read an image that is still being uploaded. */
const UPLOADING_TRIES = 4;

/** Opens a repository of a v1 registry. Sends nothing. */
export function openV1Repository(host: V1Host, repository: string): V1Repository {
  const session = new V1Session(host, repository);
  const place: V1Place = { session, repository, path: repository.includes('/') ? repository : `library/${repository}` };
  let begun: Promise<void> | undefined;
  /** The first request of every operation; its response carries the token, the cookies and the endpoints. */
  const begin = (signal: AbortSignal): Promise<void> => {
    begun ??= askIndex(place, signal).catch((error: unknown) => {
      begun = undefined;
      throw error;
    });
    return begun;
  };
  return {
    host: host.options.host,
    repository,
    resolve: async (tag, { signal }) => {
      await begin(signal);
      return resolveTag(place, tag, signal);
    },
    tags: async ({ signal }) => {
      await begin(signal);
      return listTags(place, signal);
    },
    ancestry: async (id, { signal }) => {
      await begin(signal);
      const { body } = await getAtAny(place, { path: `images/${checkId(id)}/ancestry`, signal }, imageAsked(place, id));
      return parseAncestry(body, id);
    },
    image: async (id, { signal }) => {
      await begin(signal);
      return getImage(place, id, signal);
    },
    readLayer: async (id, options) => {
      await begin(options.signal);
      return readLayer(place, checkId(id), options);
    },
    missing: async (ids, { signal }) => {
      // A new repository may still consist of images that the endpoints have.
      await ifFound(begin(signal));
      const missing = new Set<string>();
      for (const endpoint of await session.endpoints(signal)) {
        const there = await probe(place, endpoint, { ids: ids.map(checkId), signal });
        for (const id of ids) if (!there.has(id)) missing.add(id);
      }
      return missing;
    },
    deleteTag: async (tag, { signal }) => {
      await begin(signal);
      await deleteTag(place, tag, signal);
    },
    push: (images, options) => pushImages(place, images, options),
  };
}

/** Checks an ID, which becomes part of a URL path. Throws InvalidManifestError. */
function checkId(id: string): string {
  const isValid: boolean = isV1Id(id);
  if (isValid) return id;
  throw new InvalidManifestError(`${JSON.stringify(id.slice(0, 100))} is not the ID of a v1 image`, {
    where: 'v1 image',
  });
}

async function askIndex({ session, repository, path }: V1Place, signal: AbortSignal): Promise<void> {
  const { host } = session.host.options;
  const response = await session.index({ method: 'GET', path: `repositories/${path}/images`, signal }, MAX_LIST_BYTES);
  if (response.status === 200) return;
  throw v1Error(response, { method: 'GET', host, kind: 'repository', subject: `${host}/${repository}` });
}

async function resolveTag(place: V1Place, tag: string, signal: AbortSignal): Promise<string> {
  const { session, repository, path } = place;
  const { host } = session.host.options;
  const asked: Asked = { method: 'GET', host, kind: 'tag', subject: `${host}/${repository}:${tag}` };
  const response = await getAtAny(place, { path: `repositories/${path}/tags/${tag}`, signal }, asked);
  const answer = parseAnswer(response, asked);
  // Servers that ignore the tag return all tags.
  const id = typeof answer === 'string' ? answer : tagMap(answer)?.get(tag);
  if (isV1Id(id)) return id;
  if (id === undefined && tagMap(answer) !== undefined) {
    throw new NotFoundError(`${host} has no tag ${asked.subject}`, {
      kind: 'tag',
      subject: asked.subject,
      hint: `list the tags: imgtool tags ${host}/${repository}`,
    });
  }
  throw new InvalidManifestError(
    `${asked.subject} points to ${JSON.stringify(id)?.slice(0, 100)}, which is not an image ID`,
    {
      where: asked.subject,
    },
  );
}

async function listTags(place: V1Place, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const { session, repository, path } = place;
  const { host } = session.host.options;
  const asked: Asked = { method: 'GET', host, kind: 'repository', subject: `${host}/${repository}` };
  const response = await getAtAny(place, { path: `repositories/${path}/tags`, signal }, asked, MAX_LIST_BYTES);
  const tags = tagMap(parseAnswer(response, asked));
  const odd = tags === undefined || tags.size > MAX_TAGS ? '' : [...tags.keys()].find((tag) => !isTag(tag));
  if (tags !== undefined && odd === undefined) return tags;
  const why = odd === '' || odd === undefined ? '' : `: ${JSON.stringify(odd.slice(0, 140))} is not a valid tag`;
  throw new RegistryError(`the tag list of ${asked.subject} is invalid${why}`, {
    status: response.status,
    method: 'GET',
    url: redactUrl(response.url),
  });
}

/** Deletes a tag at every endpoint, because each keeps its own tags. */
async function deleteTag({ session, repository, path }: V1Place, tag: string, signal: AbortSignal): Promise<void> {
  const { host } = session.host.options;
  const asked: Asked = { method: 'DELETE', host, kind: 'tag', subject: `${host}/${repository}:${tag}` };
  for (const endpoint of await session.endpoints(signal)) {
    const request = { method: 'DELETE', path: `repositories/${path}/tags/${tag}`, signal } as const;
    const response = await session.request(endpoint, request, MAX_V1_JSON_BYTES);
    if (response.status !== 200 && response.status !== 204) throw v1Error(response, asked);
  }
}

/** Parses `{"tag": "ID"}` or the oldest form `[{"name": "tag", "layer": "ID"}]`. Undefined for anything else. */
function tagMap(answer: unknown): Map<string, string> | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  const pairs: (readonly [unknown, unknown])[] = Array.isArray(answer)
    ? (answer as ({ name?: unknown; layer?: unknown } | null)[]).map((entry) => [entry?.name, entry?.layer])
    : Object.entries(answer);
  const isPair = (pair: readonly [unknown, unknown]): pair is readonly [string, string] =>
    pair.every((part) => typeof part === 'string');
  return pairs.every(isPair) ? new Map(pairs) : undefined;
}

function parseAnswer(response: BufferedResponse, asked: Asked): unknown {
  return parseJson(response.body, `the response of ${asked.host} for ${asked.subject}`);
}

async function getImage(place: V1Place, id: string, signal: AbortSignal): Promise<V1RemoteImage> {
  const { backoffBaseMs } = place.session.host.options;
  const asked = imageAsked(place, id);
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await getAtAny(place, { path: `images/${checkId(id)}/json`, signal }, asked, MAX_V1_JSON_BYTES);
      return { ...parseV1Image(response.body, id), ...checksumsOf(response.headers) };
    } catch (error) {
      if (!isUploading(error) || attempt > UPLOADING_TRIES) throw error;
      await delay(backoffMs(attempt, backoffBaseMs), signal);
    }
  }
}

function checksumsOf(headers: HttpHeaders): Pick<V1RemoteImage, 'payloadChecksums' | 'tarSum' | 'layerSize'> {
  const list = (name: string): string[] =>
    [headers[name] ?? []].flat().flatMap((line) => line.split(',').map((entry) => entry.trim()));
  const named = list('x-docker-checksum');
  const payloads = [...list('x-docker-checksum-payload'), ...list('x-docker-payload-checksum'), ...named];
  const size = headers['x-docker-size'];
  return {
    payloadChecksums: payloads.filter((entry): entry is Digest => isDigest(entry)),
    tarSum: named.find((entry) => /^tarsum(\.v1)?\+sha256:[0-9a-f]{64}$/.test(entry)),
    layerSize: typeof size === 'string' && /^\d{1,15}$/.test(size) ? Number(size) : undefined,
  };
}

/** GET of a document from the first endpoint that has it. */
async function getAtAny(
  { session }: V1Place,
  request: Omit<V1Request, 'method'>,
  asked: Asked,
  maxBytes = MAX_V1_JSON_BYTES,
): Promise<BufferedResponse> {
  return session.atAny(request.signal, async (endpoint, last) => {
    const few = last ? {} : { retries: 1, connectRetries: 0 };
    const response = await session.request(endpoint, { method: 'GET', ...few, ...request }, maxBytes);
    if (response.status !== 200 || response.truncated) throw v1Error(response, asked);
    return response;
  });
}
