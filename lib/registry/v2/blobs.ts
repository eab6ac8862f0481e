import { NotFoundError, RegistryError } from '../../errors.js';
import type { StreamedResponse } from '../../http/index.js';
import { redactUrl } from '../../http/index.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import { RangedGet, type Piece } from '../ranged-get.js';
import type { BlobSource } from '../types.js';
import type { Place } from './manifests.js';
import { errorFrom, errorFromStream, isForeign, notARegistry, type Asked } from './responses.js';

/** A blob of a repository, to open at any offset. Opening throws as BlobSource.open says. */
export function blobSource(place: Place, descriptor: Descriptor, priority: number): BlobSource {
  const { endpoint, repository, scope } = place;
  const path = `/v2/${repository}/blobs/${descriptor.digest}`;
  const ranges = new RangedGet(descriptor.size, (headers, signal) =>
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

/** HEAD of a blob. Throws as RepositoryWriter says. */
export async function hasBlob(place: Place, digest: Digest, signal: AbortSignal): Promise<boolean> {
  return (await headBlob(place, digest, signal)).found;
}

/** Size of a blob by HEAD. Throws as RepositoryReader says. */
export async function sizeOfBlob(place: Place, digest: Digest, signal: AbortSignal): Promise<number> {
  const { found, length } = await headBlob(place, digest, signal);
  const { host } = place.endpoint;
  if (!found) {
    throw new NotFoundError(`${host} has no blob ${digest} in ${place.repository}`, { kind: 'blob', subject: digest });
  }
  const size = Number(length ?? NaN);
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new RegistryError(`${host} does not tell the size of blob ${digest}`, {
    status: 200,
    method: 'HEAD',
    url: `/v2/${place.repository}/blobs/${digest}`,
  });
}

async function headBlob(
  { endpoint, repository, scope }: Place,
  digest: Digest,
  signal: AbortSignal,
): Promise<{ readonly found: boolean; readonly length?: string | undefined }> {
  const path = `/v2/${repository}/blobs/${digest}`;
  const response = await endpoint.request({ method: 'HEAD', path, scope, signal }, 0);
  const subject = `${repository}@${digest}`;
  const asked: Asked = { method: 'HEAD', host: endpoint.host, repository, kind: 'blob', subject };
  if (isForeign(response)) throw notARegistry(response, asked);
  if (response.status === 200) return { found: true, length: response.headers['content-length'] };
  if (response.status === 404) return { found: false };
  throw errorFrom(response, asked);
}

async function get(
  place: Place,
  descriptor: Descriptor,
  how: { readonly ranges: RangedGet; readonly piece: Piece },
): Promise<StreamedResponse> {
  const { endpoint, repository } = place;
  const response = await how.ranges.get(how.piece);
  const asked: Asked = {
    method: 'GET',
    host: endpoint.host,
    repository,
    kind: 'blob',
    subject: `${repository}@${descriptor.digest}`,
  };
  if (isForeign(response)) {
    response.body.destroy();
    throw notARegistry(response, asked);
  }
  if (response.status === 206) {
    checkContentRange(response, { offset: how.piece.offset, asked });
    return response;
  }
  if (response.status === 200) return response;
  throw await errorFromStream(response, asked);
}

function checkContentRange(
  response: StreamedResponse,
  { offset, asked }: { readonly offset: number; readonly asked: Asked },
): void {
  const range = response.headers['content-range'] ?? '';
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range);
  if (match !== null && Number(match[1]) === offset) return;
  response.body.destroy();
  throw new RegistryError(`${asked.host} sent another range of ${asked.subject} than the one asked for`, {
    status: response.status,
    method: 'GET',
    url: redactUrl(response.url),
    hint: 'the registry, or a proxy before it, does not handle Range requests right',
  });
}
