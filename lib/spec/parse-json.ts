import { InvalidManifestError } from '../errors.js';

/** Maximum nesting: functions that walk a document, such as `JSON.stringify`, recurse on the stack. */
const MAX_DEPTH = 1000;

/** Parses UTF-8 JSON. Refuses documents with more than 1000 levels of nesting. Throws InvalidManifestError. */
export function parseJson(bytes: Uint8Array, where: string): unknown {
  const deep = deepMember(bytes);
  if (deep !== undefined)
    throw new InvalidManifestError(`${where} has a bad ${deep}: it is nested more than ${MAX_DEPTH} levels deep`, {
      where,
    });
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidManifestError(`${where} is not JSON: ${(cause as Error).message}`, { where, cause });
  }
}

/** The member of the document that is nested too deep; undefined when there is none. Examines only brackets and strings. */
function deepMember(bytes: Uint8Array): string | undefined {
  let depth = 0;
  /** The last string at the top level: the name of the current member. */
  let name: readonly [start: number, end: number] | undefined;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === 0x22) {
      const end = endOfString(bytes, at);
      if (depth === 1) name = [at + 1, end];
      at = end;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MAX_DEPTH) {
        const text = name === undefined ? '' : Buffer.from(bytes.subarray(...name)).toString('utf8');
        return text === '' ? 'structure' : text.slice(0, 80);
      }
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return undefined;
}

function endOfString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== 0x22) at += bytes[at] === 0x5c ? 2 : 1;
  return at;
}
