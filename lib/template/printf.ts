import { printValue, sortedEntries } from './value.js';

const VERB = /%([-+# 0]*)(\d+|\*)?(\.(\d+|\*)?)?(.|$)/gsu;
const MAX_WIDTH = 10_000;
/** Go's limit for a `*`. */
const MAX_STAR = 1_000_000;
/** Verbs for integers. */
const WHOLE = /^[dboxX]$/;
/** JavaScript's limit of digits after the decimal point. */
const MAX_DIGITS = 100;

/** Go's fmt.Sprintf for template values. As in Go, errors appear in the text: `%!d(string=x)`. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let next = 0;
  /** `*` takes the next argument; undefined if that is not a valid number. */
  const number = (text: string): number | undefined => {
    if (text !== '*') return Number(text);
    const value = args[next++];
    return Number.isInteger(value) && Math.abs(value as number) <= MAX_STAR ? (value as number) : undefined;
  };
  const text = format.replace(
    VERB,
    (
      _all,
      given: string,
      widthText: string | undefined,
      point: string | undefined,
      digits: string | undefined,
      verb: string,
    ) => {
      const width = number(widthText ?? '0');
      const wanted = point === undefined ? undefined : number(digits ?? '0');
      const precision = wanted === undefined || wanted < 0 ? undefined : Math.min(wanted, MAX_WIDTH);
      const isBad = point !== undefined && precision === undefined;
      const faults = `${width === undefined ? '%!(BADWIDTH)' : ''}${isBad ? '%!(BADPREC)' : ''}`;
      if (verb === '') return `${faults}%!(NOVERB)`;
      if (verb === '%') return `${faults}%`;
      if (next >= args.length) return `${faults}%!${verb}(MISSING)`;
      const value = args[next++];
      // A precision for an integer sets its minimum number of digits and disables zero padding.
      const isCounted = precision !== undefined && Number.isInteger(value) && WHOLE.test(verb);
      const flags = `${isCounted ? given.replaceAll('0', '') : given}${(width ?? 0) < 0 ? '-' : ''}`;
      const room = Math.min(Math.abs(width ?? 0), MAX_WIDTH);
      return faults + pad(formatOne(verb, value, { flags, precision }), { flags, width: room });
    },
  );
  const extra = args.slice(next).map(described);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(', ')})`;
}

/** Quotes a text with Go's escapes. */
export function quote(text: string): string {
  return JSON.stringify(text).replace(/\\u00([0-9a-f]{2})/g, '\\x$1');
}

interface Shape {
  readonly flags: string;
  readonly precision: number | undefined;
}

function formatOne(verb: string, value: unknown, shape: Shape): string {
  const { precision } = shape;
  const isNumber = typeof value === 'number';
  if (verb === 'v' && typeof value !== 'string') return printValue(value);
  if (verb === 'T') return typeName(value);
  if (Array.isArray(value)) return `[${value.map((one) => formatOne(verb, one, shape)).join(' ')}]`;
  if (value instanceof Map)
    return `map[${sortedEntries(value)
      .map(([key, one]) => `${formatOne(verb, key, shape)}:${formatOne(verb, one, shape)}`)
      .join(' ')}]`;
  if (typeof value === 'string') {
    const cut = precision === undefined ? value : [...value].slice(0, precision).join('');
    if (verb === 's' || verb === 'v') return cut;
    if (verb === 'q') return quote(cut);
    if (verb === 'x' || verb === 'X') return inCase(verb, Buffer.from(cut).toString('hex'));
  }
  if (typeof value === 'boolean' && verb === 't') return String(value);
  if (isNumber && Number.isInteger(value)) {
    if (verb === 'c') return characterOf(value);
    if (verb === 'q') return `'${characterOf(value)}'`;
    const base = { d: 10, b: 2, o: 8, x: 16, X: 16 }[verb];
    const digits =
      value === 0 && precision === 0
        ? ''
        : Math.abs(value)
            .toString(base)
            .padStart(precision ?? 0, '0');
    if (base !== undefined) return signed(value, inCase(verb, digits), shape);
  }
  if (isNumber && (verb === 'f' || verb === 'F'))
    return signed(value, fixed(Math.abs(value), Math.min(precision ?? 6, MAX_DIGITS)), shape);
  if (isNumber && (verb === 'e' || verb === 'g')) {
    const text =
      verb === 'e' ? Math.abs(value).toExponential(Math.min(precision ?? 6, MAX_DIGITS)) : String(Math.abs(value));
    return signed(value, text.replace(/e([-+])(\d)$/, 'e$10$2'), shape);
  }
  return `%!${verb}(${described(value)})`;
}

/** Formats with this many digits after the decimal point; as in Go, rounds halves to even. */
function fixed(value: number, digits: number): string {
  const exact = value.toFixed(MAX_DIGITS);
  const [cut, rest] = [exact.length - MAX_DIGITS + digits, exact.slice(exact.length - MAX_DIGITS + digits)];
  const isHalf = /^50*$/.test(rest) && /[02468]\.?$/.test(exact.slice(0, cut));
  return isHalf ? exact.slice(0, digits === 0 ? cut - 1 : cut) : value.toFixed(digits);
}

/** As in Go, an invalid code point becomes U+FFFD. */
function characterOf(code: number): string {
  return code >= 0 && code <= 0x10ffff ? String.fromCodePoint(code) : '\u{FFFD}';
}

function signed(value: number, digits: string, { flags }: Shape): string {
  if (value < 0) return `-${digits}`;
  return flags.includes('+') ? `+${digits}` : flags.includes(' ') ? ` ${digits}` : digits;
}

function inCase(verb: string, text: string): string {
  return verb === 'X' ? text.toUpperCase() : text;
}

function pad(text: string, { flags, width }: { readonly flags: string; readonly width: number }): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes('-')) return text + ' '.repeat(missing);
  if (!flags.includes('0')) return ' '.repeat(missing) + text;
  const sign = /^[-+ ]/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}

/** An argument in an error text: `int=5`. */
function described(value: unknown): string {
  return value === undefined || value === null ? '<nil>' : `${typeName(value)}=${printValue(value)}`;
}

function typeName(value: unknown): string {
  if (value === undefined || value === null) return '<nil>';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  return Array.isArray(value) ? '[]interface {}' : value instanceof Map ? 'map[string]interface {}' : typeof value;
}
