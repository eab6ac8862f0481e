import { quote, sprintf } from './printf.js';
import { isEmpty, kindOf, printValue, toJson } from './value.js';

/** A template function. Throws BadArgumentError. */
type TemplateFunction = (...args: readonly unknown[]) => unknown;

/** An invalid argument of a function; the message explains it. */
export class BadArgumentError extends Error {}

/** Functions of text/template, docker and podman. `and` and `or` are in evaluate.ts, because they skip arguments. */
export const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  not: isEmpty,
  eq: (first, ...others) => others.some((other) => isEqual(first, other)),
  ne: (a, b) => !isEqual(a, b),
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  len: lengthOf,
  index: (value, ...keys) => keys.reduce(elementOf, value),
  slice: sliceOf,
  print: (...args) => printAll(args),
  println: (...args) => `${args.map(printValue).join(' ')}\n`,
  printf: (format, ...args) => sprintf(textOf(format), args),
  html: (...args) => printAll(args).replace(/[&<>"']/g, (char) => HTML[char]!),
  urlquery: (...args) => encodeURIComponent(printAll(args)).replaceAll('%20', '+'),
  json: toJson,
  quote: (value) => quote(printValue(value)),
  join: (list, separator) => listOf(list).map(printValue).join(textOf(separator)),
  split: (text, separator) => textOf(text).split(textOf(separator)),
  lower: (text) => textOf(text).toLowerCase(),
  upper: (text) => textOf(text).toUpperCase(),
  title: (text) =>
    textOf(text).replace(
      /(^|[^\p{L}\p{N}_'])(\p{L})/gu,
      (_, before: string, letter: string) => before + letter.toUpperCase(),
    ),
  truncate: (text, length) => [...textOf(text)].slice(0, countOf(length)).join(''),
  pad: (text, before, after) =>
    textOf(text) === '' ? '' : ' '.repeat(countOf(before)) + textOf(text) + ' '.repeat(countOf(after)),
};

/** Escapes of html/template. */
const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };

const ARGUMENTS: Readonly<Record<string, readonly [min: number, max: number]>> = {
  ...{ not: [1, 1], eq: [2, Infinity], ne: [2, 2], lt: [2, 2], le: [2, 2], gt: [2, 2], ge: [2, 2], len: [1, 1] },
  ...{ index: [1, Infinity], slice: [1, 4], printf: [1, Infinity], json: [1, 1], quote: [1, 1], join: [2, 2] },
  ...{ split: [2, 2], lower: [1, 1], upper: [1, 1], title: [1, 1], truncate: [2, 2], pad: [3, 3] },
};

/** Calls a function. Throws BadArgumentError. */
export function callFunction(name: string, args: readonly unknown[]): unknown {
  const [min, max] = ARGUMENTS[name] ?? [0, Infinity];
  if (args.length < min || args.length > max) {
    const wanted = min === max ? String(min) : max === Infinity ? `at least ${min}` : `${min} to ${max}`;
    throw new BadArgumentError(`${name} takes ${wanted} ${wanted === '1' ? 'value' : 'values'}, not ${args.length}`);
  }
  return FUNCTIONS[name]!(...args);
}

function isEqual(a: unknown, b: unknown): boolean {
  if (typeof a === typeof b && typeof a !== 'object') return a === b;
  if ((a ?? null) === null || (b ?? null) === null) return (a ?? null) === (b ?? null);
  throw new BadArgumentError(`${kindOf(a)} cannot be compared with ${kindOf(b)}`);
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  throw new BadArgumentError(`${kindOf(a)} cannot be compared with ${kindOf(b)}`);
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  throw new BadArgumentError(`${kindOf(value)} has no length`);
}

function elementOf(value: unknown, key: unknown): unknown {
  if (value instanceof Map) return value.get(textOf(key)) ?? '';
  if (!Array.isArray(value) && typeof value !== 'string')
    throw new BadArgumentError(`${kindOf(value)} has no elements`);
  const index = countOf(key);
  if (index >= value.length) throw new BadArgumentError(`there is no element ${index} in a list of ${value.length}`);
  return typeof value === 'string' ? Buffer.from(value)[index] : (value[index] as unknown);
}

function sliceOf(value: unknown, start: unknown = 0, end?: unknown): unknown {
  if (typeof value !== 'string' && !Array.isArray(value))
    throw new BadArgumentError(`${kindOf(value)} cannot be sliced`);
  const [from, to] = [countOf(start), end === undefined ? value.length : countOf(end)];
  if (from > to || to > value.length) throw new BadArgumentError(`${from} to ${to} is not within ${value.length}`);
  return value.slice(from, to);
}

/** Like Go's Sprint, separates two values by a blank if neither is text. */
function printAll(args: readonly unknown[]): string {
  return args.reduce<string>((text, value, at) => {
    const isApart = at > 0 && typeof value !== 'string' && typeof args[at - 1] !== 'string';
    return `${text}${isApart ? ' ' : ''}${printValue(value)}`;
  }, '');
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new BadArgumentError(`a text is wanted, and this is ${kindOf(value)}`);
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new BadArgumentError(`a list is wanted, and this is ${kindOf(value)}`);
}

function countOf(value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 1_000_000) return value;
  throw new BadArgumentError(`a whole number is wanted, and this is ${kindOf(value)}`);
}
