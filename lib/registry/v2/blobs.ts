import { NotFoundError, RegistryError } from '../../errors.js';
import { redactUrl, type BufferedResponse, type HttpResponse, type StreamedResponse } from '../../http/index.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import { RangedGet, type Piece } from '../ranged-get.js';
import type { BlobSource } from '../types.js';
import type { Place } from './manifests.js';
import {
  responseError,
  streamedResponseError,
  isForeign,
  isHeadUnreliable,
  notARegistryError,
  type Asked,
} from './responses.js';

/** A blob of a repository, readable from any offset. Opening throws as BlobSource.open does. */
export function blobSource(place: Place, descriptor: Descriptor, priority: number): BlobSource {
  const { endpoint, repository, scope } = place;
  const path = `/v2/${repository}/blobs/${descriptor.digest}`;
  const ranges = new RangedGet(descriptor.size, endpoint.facts, (headers, signal) =>
    endpoint.stream({ method: 'GET', path, headers, scope, signal, priority }),
  );
  return {
    descriptor,
    connections: endpoint.connections,
    open: async ({ signal, offset = 0, length }) => {
      const response = await get(place, descriptor, { ranges, piece: { offset, length, signal } });
      const { status } = response;
      return { body: response.body, restarted: offset > 0 && status === 200, ranged: status === 206 };
    },
  };
}

/** HEAD of a blob. Throws as RepositoryWriter does. */
export async function hasBlob(place: Place, digest: Digest, signal: AbortSignal): Promise<boolean> {
  const response = await headBlob(place, digest, signal);
  if (response.status === 200) return true;
  // Where HEAD is refused, the upload will show whether the blob exists.
  if (response.status === 404 || isHeadUnreliable(response, place.endpoint.facts)) return false;
  throw responseError(response, askedFor(place, 'HEAD', digest));
}

/** The size of a blob by HEAD, or by GET where HEAD is refused. Bytes. Throws as RepositoryReader does. */
export async function sizeOfBlob(place: Place, digest: Digest, signal: AbortSignal): Promise<number> {
  const { endpoint, repository, scope } = place;
  let response: HttpResponse = await headBlob(place, digest, signal);
  if (isHeadUnreliable(response, endpoint.facts)) {
    const path = `/v2/${repository}/blobs/${digest}`;
    const { body, ...head } = await endpoint.stream({ method: 'GET', path, scope, signal });
    body.destroy();
    response = head;
  }
  const { host } = endpoint;
  if (response.status === 404) {
    throw new NotFoundError(`${host} has no blob ${digest} in ${repository}`, { kind: 'blob', subject: digest });
  }
  if (response.status !== 200) {
    throw responseError({ ...response, body: Buffer.alloc(0), truncated: false }, askedFor(place, 'GET', digest));
  }
  const size = Number(response.headers['content-length'] ?? NaN);
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new RegistryError(`${host} does not report the size of blob ${digest}`, {
    status: 200,
    method: 'HEAD',
    url: `/v2/${place.repository}/blobs/${digest}`,
  });
}

async function headBlob(place: Place, digest: Digest, signal: AbortSignal): Promise<BufferedResponse> {
  const { endpoint, repository, scope } = place;
  const path = `/v2/${repository}/blobs/${digest}`;
  const response = await endpoint.request({ method: 'HEAD', path, scope, signal }, 0);
  // A web server may answer any path with a page.
  const isPage = isForeign(response) && response.headers['docker-content-digest'] !== digest;
  if (isPage) throw notARegistryError(response, askedFor(place, 'HEAD', digest));
  return response;
}

function askedFor({ endpoint, repository }: Place, method: string, digest: Digest): Asked {
  return { method, host: endpoint.host, repository, kind: 'blob', subject: `${repository}@${digest}` };
}

async function get(
  place: Place,
  descriptor: Descriptor,
  how: { readonly ranges: RangedGet; readonly piece: Piece },
): Promise<StreamedResponse> {
  const response = await how.ranges.get(how.piece);
  const asked = askedFor(place, 'GET', descriptor.digest);
  const length = response.headers['content-length'];
  // Some servers label everything as HTML; the digest header still identifies a blob.
  const isBlob =
    response.status < 300 && (length === undefined || response.status === 206 || Number(length) === descriptor.size);
  if (isForeign(response) && !isBlob) {
    response.body.destroy();
    throw notARegistryError(response, asked);
  }
  if (response.status === 206) {
    checkContentRange(response, { offset: how.piece.offset, asked });
    return response;
  }
  if (response.status === 200) return response;
  throw await streamedResponseError(response, asked);
}

function checkContentRange(
  response: StreamedResponse,
  { offset, asked }: { readonly offset: number; readonly asked: Asked },
): void {
  const range = response.headers['content-range'] ?? '';
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range);
  if (match !== null && Number(match[1]) === offset) return;
  response.body.destroy();
  throw new RegistryError(`${asked.host} sent a different range of ${asked.subject} than requested`, {
    status: response.status,
    method: 'GET',
    url: redactUrl(response.url),
    hint: 'the registry or a proxy in front of it handles Range requests incorrectly',
  });
}
