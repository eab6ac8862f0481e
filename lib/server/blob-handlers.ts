import type { Digest } from '../spec/index.js';
import { parseRange, type ByteRange } from './byte-range.js';
import type { Exchange } from './exchange.js';
import { RequestError } from './request-error.js';
import { sendFile } from './send-file.js';

/** GET and HEAD of a blob, complete or one range (distribution-spec, "Pulling blobs"). */
export async function getBlob(exchange: Exchange, repository: string, digest: Digest): Promise<void> {
  const { request, response, storage } = exchange;
  const etag = `"${digest}"`;
  const headers = {
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'max-age=31536000, immutable',
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    ETag: etag,
  };
  if (request.method === 'HEAD') {
    const found = (await storage.statBlob(repository, digest)) ?? unknownBlob(digest);
    if (exchange.isFresh(etag)) return exchange.answer(304, headers);
    return exchange.answer(200, { ...headers, 'Content-Length': found.size });
  }
  const { handle, size } = (await storage.openBlob(repository, digest)) ?? unknownBlob(digest);
  try {
    if (exchange.isFresh(etag)) return exchange.answer(304, headers);
    const range = requestedRange(exchange, etag, size);
    if (range === 'unsatisfiable') {
      throw new RequestError(416, 'SIZE_INVALID', `the blob has ${size} bytes`, {
        headers: { 'Content-Range': `bytes */${size}` },
      });
    }
    const { start, length } = range ?? { start: 0, length: size };
    const partial = range === undefined ? {} : { 'Content-Range': `bytes ${start}-${start + length - 1}/${size}` };
    response.writeHead(range === undefined ? 200 : 206, { ...headers, ...partial, 'Content-Length': length });
    exchange.bytesSent += await sendFile(response, handle, { start, length });
  } finally {
    await handle.close();
  }
}

/** DELETE of a blob (distribution-spec, "Deleting blobs"). */
export async function deleteBlob(exchange: Exchange, repository: string, digest: Digest): Promise<void> {
  if (!(await exchange.writer.deleteBlob(repository, digest))) unknownBlob(digest);
  exchange.answer(202, {});
}

/** The requested range. A range whose If-Range names another entity is ignored (RFC 9110, 13.1.5). */
function requestedRange(exchange: Exchange, etag: string, size: number): ByteRange | 'unsatisfiable' | undefined {
  const { range, 'if-range': condition } = exchange.request.headers;
  if (condition !== undefined && condition !== etag) return undefined;
  return parseRange(range, size);
}

function unknownBlob(digest: Digest): never {
  throw new RequestError(404, 'BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } });
}
