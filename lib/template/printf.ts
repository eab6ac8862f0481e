import { printValue, sortedEntries } from './value.js';

const VERB = /%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?(\p{L}|%)/gu;
const MAX_WIDTH = 10_000;
/** Digits after the point: JavaScript gives no more. */
const MAX_DIGITS = 100;

/** Go's fmt.Sprintf for the values of a template. Mistakes are told in the text, as Go does it: `%!d(string=x)`. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let next = 0;
  const number = (text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    return Math.min(Math.max(Number(text === '*' ? args[next++] : text) || 0, 0), MAX_WIDTH);
  };
  const text = format.replace(
    VERB,
    (all: string, flags: string, widthText: string | undefined, precisionText: string | undefined, verb: string) => {
      if (verb === '%') return '%';
      const width = number(widthText);
      const precision = all.includes('.') ? (number(precisionText) ?? 0) : undefined;
      if (next >= args.length) return `%!${verb}(MISSING)`;
      return pad(formatOne(verb, args[next++], { flags, precision }), { flags, width: width ?? 0 });
    },
  );
  const extra = args.slice(next).map((value) => `${typeName(value)}=${printValue(value)}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(', ')})`;
}

/** A text in quotes, with Go's escapes. */
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
  if (verb === 'v') return printValue(value);
  if (verb === 'T') return typeName(value);
  if (Array.isArray(value)) return `[${value.map((one) => formatOne(verb, one, shape)).join(' ')}]`;
  if (value instanceof Map)
    return `map[${sortedEntries(value)
      .map(([key, one]) => `${formatOne(verb, key, shape)}:${formatOne(verb, one, shape)}`)
      .join(' ')}]`;
  if (typeof value === 'string') {
    const cut = precision === undefined ? value : [...value].slice(0, precision).join('');
    if (verb === 's') return cut;
    if (verb === 'q') return quote(cut);
    if (verb === 'x' || verb === 'X') return inCase(verb, Buffer.from(cut).toString('hex'));
  }
  if (typeof value === 'boolean' && verb === 't') return String(value);
  if (isNumber && Number.isInteger(value)) {
    if (verb === 'd') return signed(value, String(Math.abs(value)), shape);
    if (verb === 'c') return characterOf(value);
    if (verb === 'q') return `'${characterOf(value)}'`;
    const base = { b: 2, o: 8, x: 16, X: 16 }[verb];
    if (base !== undefined) return signed(value, inCase(verb, Math.abs(value).toString(base)), shape);
  }
  if (isNumber && (verb === 'f' || verb === 'F'))
    return signed(value, Math.abs(value).toFixed(Math.min(precision ?? 6, MAX_DIGITS)), shape);
  if (isNumber && (verb === 'e' || verb === 'g')) {
    const text =
      verb === 'e' ? Math.abs(value).toExponential(Math.min(precision ?? 6, MAX_DIGITS)) : String(Math.abs(value));
    return signed(value, text.replace(/e([-+])(\d)$/, 'e$10$2'), shape);
  }
  return `%!${verb}(${typeName(value)}=${printValue(value)})`;
}

/** As Go does it, U+FFFD stands for what is no character. */
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

function typeName(value: unknown): string {
  if (value === undefined || value === null) return '<nil>';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  return Array.isArray(value) ? '[]interface {}' : value instanceof Map ? 'map[string]interface {}' : typeof value;
}
