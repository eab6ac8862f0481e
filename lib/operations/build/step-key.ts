import { createHash } from 'node:crypto';
import type { KeyPart } from '../../metadata/index.js';
import type { StepKey } from './types.js';

/** Longer values are kept as digests. */
const LONGEST_VALUE = 200;
/** Of keys that mean something else than those before. */
const VERSION = '1';

/**
 * The key of a step: the hash of its parts, names and values. Parts with the value undefined are left out. `secret` parts (an
 * environment may hold a password) are recorded as digests only.
 */
export function stepKey(
  parts: readonly { readonly name: string; readonly value: string | undefined; readonly secret?: boolean }[],
): StepKey {
  const given = parts.flatMap(({ name, value, secret }) => (value === undefined ? [] : [{ name, value, secret }]));
  // As JSON, so that no two lists of parts read the same.
  const text = JSON.stringify([VERSION, ...given.map(({ name, value }) => [name, value])]);
  return {
    key: hash(text),
    parts: given.map(({ name, value, secret }): KeyPart => ({
      name,
      value: secret === true || value.length > LONGEST_VALUE ? `sha256:${hash(value)}` : value,
    })),
  };
}

/** Names of the parts that differ between two steps at the same place, in order. */
export function differentParts(now: readonly KeyPart[], before: readonly KeyPart[]): string[] {
  const names = new Set([...now, ...before].map(({ name }) => name));
  const valuesOf = (parts: readonly KeyPart[], name: string): string =>
    JSON.stringify(parts.filter((part) => part.name === name).map(({ value }) => value));
  return [...names].filter((name) => valuesOf(now, name) !== valuesOf(before, name));
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
