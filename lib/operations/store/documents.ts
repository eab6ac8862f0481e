import { digestOf, type Descriptor } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** Stores a document (a config, a manifest) as JSON; resolves with its descriptor. */
export async function putDocument(
  { content }: Pick<OperationDeps, 'content'>,
  document: unknown,
  mediaType: string,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = await content.put(bytes, digestOf(bytes));
  return { mediaType, digest, size: bytes.length };
}

/** The date for a new config: now, or `sourceDateEpoch` (seconds since 1970) when that is earlier. RFC 3339, without fractions when clamped. */
export function createdAt(sourceDateEpoch: number | undefined): string {
  const now = Date.now();
  if (sourceDateEpoch === undefined) return new Date(now).toISOString();
  return new Date(Math.min(now, sourceDateEpoch * 1000)).toISOString().replace(/\.000Z$/, 'Z');
}
