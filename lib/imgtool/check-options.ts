import { UsageError } from '../errors.js';
import { closest, parseSize } from '../util/index.js';

/** What an option holds. `name`: text that is not empty; `count`: a whole number of at least 1; `size`: bytes, or text such as `64GiB`; `texts`: several. */
type OptionKind =
  | 'name'
  | 'text'
  | 'texts'
  | 'flag'
  | 'count'
  | 'countOrZero'
  | 'size'
  | 'function'
  | 'object'
  | 'signal'
  | 'any'
  | readonly string[];

/** A kind for each option of `T`: the compiler sees to it that none is forgotten. */
export type OptionKinds<T> = { readonly [K in keyof Required<T>]: OptionKind };

const WANTED = {
  name: 'a string that is not empty',
  text: 'a string',
  texts: 'an array of strings',
  flag: 'true or false',
  count: 'a whole number of at least 1',
  countOrZero: 'a whole number of at least 0',
  size: 'a number of bytes, or text such as "64GiB"',
  function: 'a function',
  object: 'an object',
  signal: 'an AbortSignal',
  any: 'anything',
} as const;

const TESTS: Readonly<Record<keyof typeof WANTED, (value: unknown) => boolean>> = {
  name: (value) => typeof value === 'string' && value !== '',
  text: (value) => typeof value === 'string',
  texts: (value) => Array.isArray(value) && value.every((entry) => typeof entry === 'string'),
  flag: (value) => typeof value === 'boolean',
  count: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  countOrZero: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  size: isSize,
  function: (value) => typeof value === 'function',
  object: (value) => typeof value === 'object' && value !== null,
  signal: (value) => value instanceof AbortSignal,
  any: () => true,
};

/**
 * Checks the options of one call, which may come from JavaScript; `undefined` counts as not given. Throws UsageError that
 * names the method and the option.
 */
export function checkOptions<T extends object>(method: string, given: T, kinds: OptionKinds<T>): T {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new UsageError(`${method}: the options are not an object`, { hint: `write ${method}(…, { name: value })` });
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(kinds, name)) throw unknownOptionError(method, name, Object.keys(kinds));
    if (value !== undefined) checkValue(method, name, value, kinds[name as keyof T]);
  }
  return given;
}

/** Checks an argument that is text. Throws UsageError that names it. */
export function checkText(method: string, name: string, value: unknown): asserts value is string {
  if (!TESTS.text(value)) throw new UsageError(`${method}: ${name} is not ${WANTED.text}`);
}

/** The same for an argument that is a list of texts. */
export function checkTexts(method: string, name: string, value: unknown): asserts value is readonly string[] {
  if (!TESTS.texts(value)) throw new UsageError(`${method}: ${name} is not ${WANTED.texts}`);
}

/** Bytes of an option of kind `size`. */
export function bytesOf<T extends number | undefined>(value: number | string | undefined, fallback: T): number | T {
  if (value === undefined) return fallback;
  return typeof value === 'string' ? parseSize(value) : value;
}

function checkValue(method: string, name: string, value: unknown, kind: OptionKind): void {
  if (typeof kind === 'string') {
    if (TESTS[kind](value)) return;
    throw new UsageError(`${method}: the option ${name} is not ${WANTED[kind]}`);
  }
  if (kind.includes(value as string)) return;
  throw new UsageError(`${method}: the option ${name} cannot be ${shown(value)}`, {
    hint: `choose one of ${kind.join(', ')}`,
  });
}

function unknownOptionError(method: string, name: string, known: readonly string[]): UsageError {
  const near = closest(name, known);
  return new UsageError(`${method} has no option ${JSON.stringify(name.slice(0, 100))}`, {
    hint: near === undefined ? `its options are ${known.join(', ')}` : `did you mean ${near}?`,
  });
}

function isSize(value: unknown): boolean {
  if (typeof value !== 'string') return TESTS.countOrZero(value);
  try {
    return parseSize(value) >= 0;
  } catch {
    return false;
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : `of type ${typeof value}`;
}
