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
