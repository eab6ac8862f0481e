import type { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import type { StreamedResponse } from './types.js';

/** Reads at most `maxBytes` of a body into memory and closes it. `truncated` is true when the body was longer. */
export async function readCapped(body: Readable, maxBytes: number): Promise<{ body: Buffer; truncated: boolean }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    // Breaking out of the loop destroys the stream.
    if (size > maxBytes) break;
  }
  return { body: Buffer.concat(chunks).subarray(0, maxBytes), truncated: size > maxBytes };
}

/**
 * Like `readCapped`, for documents that some servers send with `Content-Encoding: gzip` although none was requested.
 * Decompresses to at most `maxBytes`; a body that cannot be decompressed is returned unchanged.
 */
export async function readDocument(
  { headers, body: stream }: Pick<StreamedResponse, 'headers' | 'body'>,
  maxBytes: number,
): Promise<{ body: Buffer; truncated: boolean }> {
  const { body, truncated } = await readCapped(stream, maxBytes);
  const isPacked =
    /^(x-)?gzip$/i.test(headers['content-encoding']?.trim() ?? '') && body[0] === 0x1f && body[1] === 0x8b;
  if (!isPacked || truncated) return { body, truncated };
  try {
    return { body: gunzipSync(body, { maxOutputLength: Math.max(1, maxBytes) }), truncated: false };
  } catch (error) {
    return { body, truncated: (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' };
  }
}
