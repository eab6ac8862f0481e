import { InvalidManifestError } from '../errors.js';

/** The location of a value: the document's name in messages, and the path in it (`config.Env[0]`). */
export interface Place {
  readonly where: string;
  readonly path: string;
}

/**
 * Checks a value of a JSON document and returns it in the form used by this program. Throws InvalidManifestError that
 * names the path.
 */
export type Check<T> = (value: unknown, place: Place) => T;

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

/** Checks for a string. */
export const text: Check<string> = (value, place) =>
  typeof value === 'string' ? value : refuse(value, 'a string', place);

/** Checks for `true` or `false`. */
export const flag: Check<boolean> = (value, place) =>
  typeof value === 'boolean' ? value : refuse(value, 'true or false', place);

/** Checks for a command: a list of strings or, from docker before 1.0, one string. */
export const words: Check<string[]> = (value, place) =>
  typeof value === 'string' ? [value] : listOf(text)(value, place);

/** Checks for an object with any members; Go programs also write an empty one as `null`. */
export const anyObject: Check<object> = (value, place) => {
  if (value === null) return {};
  return isObject(value) ? value : refuse(value, 'an object', place);
};

/** Checks for a list whose entries pass `check`. */
export function listOf<T>(check: Check<T>): Check<T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) return refuse(value, 'a list', place);
    return value.map((entry, index) => check(entry, { ...place, path: `${place.path}[${index}]` }));
  };
}

/** Checks for an object with any names whose values pass `check`. `null` values count as absent when `check` refuses them. */
export function recordOf<T>(check: Check<T>): Check<Record<string, T>> {
  return (value, place) => {
    if (!isObject(value)) return refuse(value, 'an object', place);
    const entries = Object.entries(value).flatMap(([name, entry]): [string, T][] =>
      entry === null && (check as unknown) !== anyObject
        ? []
        : [[name, check(entry, { ...place, path: `${place.path}[${JSON.stringify(name.slice(0, 80))}]` })]],
    );
    return Object.fromEntries(entries);
  };
}

/**
 * Checks for an object whose members with the given names, if present, pass their checks. Other members stay unchanged.
 * `null` counts as absent, as in Go programs.
 */
export function membersOf(checks: Readonly<Record<string, Check<unknown>>>): Check<Record<string, unknown>> {
  const known = Object.entries(checks);
  return (value, place) => {
    if (!isObject(value)) return refuse(value, 'an object', place);
    const result: Record<string, unknown> = { ...value };
    for (const [name, check] of known) {
      const member = result[name];
      if (member === undefined) continue;
      const path = place.path === '' ? name : `${place.path}.${name}`;
      if (member === null) delete result[name];
      else result[name] = check(member, { where: place.where, path });
    }
    return result;
  };
}

/** True for a JSON object (not a list or null). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws the error for an invalid value. */
function refuse(value: unknown, wanted: string, { where, path }: Place): never {
  const problem = `it is ${kindOf(value)}, not ${wanted}`;
  throw new InvalidManifestError(
    path === '' ? `${where} is bad: ${problem}` : `${where} has a bad ${path}: ${problem}`,
    { where },
  );
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  return typeof value === 'boolean' ? String(value) : `a ${typeof value}`;
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
