import { LayerFormatError } from '../../errors.js';

/** Receives one `key=value` of an extended header (POSIX.1-2001 pax, "pax Extended Header"). `value` is a view, not a copy. */
type PaxVisitor = (key: string, value: Buffer) => void;

/**
 * Visits the records `LENGTH KEY=VALUE\n` of an extended header. Values may contain any byte. Throws LayerFormatError
 * for any other format.
 */
export function forEachPaxRecord(data: Buffer, visit: PaxVisitor): void {
  let at = 0;
  while (at < data.length) {
    let length = 0;
    let index = at;
    for (; index < data.length && index - at < 10; index += 1) {
      const digit = data[index]! - 0x30;
      if (digit < 0 || digit > 9) break;
      length = length * 10 + digit;
    }
    const end = at + length;
    if (index === at || data[index] !== 0x20 || end > data.length || end <= index + 1 || data[end - 1] !== 0x0a)
      throw new LayerFormatError('a PAX header of the layer is malformed');
    const equals = data.indexOf(0x3d, index + 1);
    if (equals < 0 || equals >= end || equals === index + 1)
      throw new LayerFormatError('a PAX header of the layer is malformed');
    const key = data.toString('latin1', index + 1, equals);
    if (key.includes('\0')) throw new LayerFormatError('a PAX header of the layer is malformed');
    visit(key, data.subarray(equals + 1, end - 1));
    at = end;
  }
}

/** Parses a PAX time into seconds (rounded down) and nanoseconds; further digits are dropped, towards minus infinity. */
export function parsePaxTime(value: Buffer): { readonly seconds: number; readonly nanos: number } | undefined {
  const match = /^([+-]?)(\d{1,15})(?:\.(\d*))?$/.exec(value.toString('latin1', 0, 80));
  if (match === null || value.length > 80) return undefined;
  const digits = match[3] ?? '';
  const seconds = Number(match[2]);
  const nanos = Number(digits.slice(0, 9).padEnd(9, '0'));
  if (match[1] !== '-') return { seconds, nanos };
  const cut = /[1-9]/.test(digits.slice(9)) ? 1 : 0;
  const below = nanos + cut;
  return below === 0 ? { seconds: 0 - seconds, nanos: 0 } : { seconds: -seconds - 1, nanos: 1_000_000_000 - below };
}

/** Parses a PAX decimal number, exact up to 2^53; undefined when invalid. Like Go, accepts a leading `+`. */
export function parsePaxNumber(value: Buffer): number | undefined {
  const first = value[0] === 0x2b ? 1 : 0;
  if (value.length === first || value.length > 20) return undefined;
  let number = 0;
  for (let index = first; index < value.length; index += 1) {
    const digit = value[index]! - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    number = number * 10 + digit;
  }
  return number > Number.MAX_SAFE_INTEGER ? undefined : number;
}
