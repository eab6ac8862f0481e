/** One record of a PAX header; the value may be binary. */
interface PaxRecord {
  readonly key: string | Buffer;
  readonly value: string | Buffer;
}

/** The body of a PAX extended header: `LENGTH key=value\n` per record (POSIX pax, "Extended Header"). */
export function encodePax(records: readonly PaxRecord[]): Buffer {
  return Buffer.concat(records.map(encodeRecord));
}

/** A PAX time: decimal seconds since 1970 with up to nine digits of fraction and no trailing zeros. */
export function paxTime(ns: bigint): string {
  const size = ns < 0n ? -ns : ns;
  const fraction = String(size % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${ns < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}

function encodeRecord({ key, value }: PaxRecord): Buffer {
  const body = Buffer.concat([
    Buffer.from(' '),
    Buffer.from(key),
    Buffer.from('='),
    Buffer.from(value),
    Buffer.from('\n'),
  ]);
  // The length includes its own digits.
  let length = body.length + String(body.length).length;
  length = body.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}
