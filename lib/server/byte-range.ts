/** A part of a blob: offset of the first byte, and number of bytes. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/**
 * Parses a `Range` header for `size` bytes (RFC 9110, 14.1.2). Undefined means "send everything": no header, another
 * unit, several ranges, or an invalid value, all of which a server may ignore. `'unsatisfiable'` requires a 416.
 */
export function parseRange(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/.exec(header ?? '');
  if (match === null) return undefined;
  const [first, last] = [match[1]!, match[2]!];
  if (first === '') {
    if (last === '') return undefined;
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, length };
  }
  const start = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, length: end - start + 1 };
}

/**
 * Parses the `Content-Range: <start>-<end>` of an upload chunk (distribution-spec, "Pushing a blob in chunks"). Also
 * accepts RFC 9110's `bytes start-end/total`. Undefined for anything else.
 */
export function parseContentRange(header: string): ByteRange | undefined {
  const match = /^(?:bytes[ =])?\s*(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/.exec(header.trim());
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]);
  return end < start ? undefined : { start, length: end - start + 1 };
}
