import { UsageError } from '../errors.js';
import { closest, parseSize } from '../util/index.js';

/** Type of an option. `name`: non-empty text; `count`: an integer of at least 1; `size`: bytes, or text such as `64GiB`; `texts`: a list. */
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

/** A kind for each option of `T`; the compiler rejects a missing one. */
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
 * Checks the options of a call, possibly from JavaScript; `undefined` means not given. Throws UsageError that names the
 * method and the option.
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

/** Checks that an argument is text. Throws UsageError that names it. */
export function checkText(method: string, name: string, value: unknown): asserts value is string {
  if (!TESTS.text(value)) throw new UsageError(`${method}: ${name} is not ${WANTED.text}`);
}

/** Checks that an argument is a list of texts. Throws UsageError that names it. */
export function checkTexts(method: string, name: string, value: unknown): asserts value is readonly string[] {
  if (!TESTS.texts(value)) throw new UsageError(`${method}: ${name} is not ${WANTED.texts}`);
}

/** Converts an option of kind `size` to bytes. */
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
