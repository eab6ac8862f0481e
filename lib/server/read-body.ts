import type { Exchange } from './exchange.js';

/** Reads a request's body into memory; undefined when it exceeds `limit` bytes. */
export async function readBody(exchange: Exchange, limit: number): Promise<Buffer | undefined> {
  if ((exchange.contentLength ?? 0) > limit) return undefined;
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of exchange.body()) {
    total += chunk.length;
    if (total > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
