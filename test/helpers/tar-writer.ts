/** A tar writer for tests, independent of lib/layer: tables of entries in, bytes out. */

/** One entry; names are bytes written as latin1. */
export interface TarEntry {
  readonly path: string;
  /** Default file. */
  readonly type?: 'file' | 'dir' | 'link' | 'hardlink' | 'char' | 'block' | 'fifo';
  /** Default 0755 for directories, 0777 for links, else 0644. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** ns since 1970; default 1 700 000 000 s. A fraction is told in PAX. */
  readonly mtimeNs?: bigint;
  readonly content?: string | Uint8Array;
  /** Target of a link, or path of the file that a hard link names. */
  readonly target?: string;
  readonly device?: readonly [major: number, minor: number];
  readonly xattrs?: Readonly<Record<string, Uint8Array>>;
}

const FLAGS = { file: '0', hardlink: '1', link: '2', char: '3', block: '4', dir: '5', fifo: '6' } as const;
const SECOND = 1_000_000_000n;
const DEFAULT_MTIME = 1_700_000_000n * SECOND;

/** Writes entries as a ustar archive with PAX records where ustar cannot say it, two zero blocks at the end. */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(entryBlocks), Buffer.alloc(1024)]);
}

function entryBlocks(entry: TarEntry): Buffer[] {
  const type = entry.type ?? 'file';
  const path = type === 'dir' ? `${entry.path.replace(/\/$/, '')}/` : entry.path;
  const content = Buffer.from(entry.content ?? '');
  const mtime = entry.mtimeNs ?? DEFAULT_MTIME;
  const target = entry.target ?? '';
  const records: Buffer[] = [];
  if (path.length > 100) records.push(paxRecord('path', bytes(path)));
  if (target.length > 100) records.push(paxRecord('linkpath', bytes(target)));
  if (mtime < 0n || mtime >= 2n ** 33n * SECOND || mtime % SECOND !== 0n)
    records.push(paxRecord('mtime', bytes(decimalSeconds(mtime))));
  for (const [key, value] of [
    ['uid', entry.uid],
    ['gid', entry.gid],
  ] as const)
    if ((value ?? 0) > 0o7777777) records.push(paxRecord(key, bytes(String(value))));
  for (const [name, value] of Object.entries(entry.xattrs ?? {}))
    records.push(paxRecord(`SCHILY.xattr.${name}`, value));

  const blocks: Buffer[] = [];
  if (records.length > 0) {
    const body = Buffer.concat(records);
    blocks.push(tarHeader({ path: 'PaxHeaders/entry', flag: 'x', mode: 0o644, size: body.length }), padded(body));
  }
  const defaultMode = type === 'dir' ? 0o755 : type === 'link' ? 0o777 : 0o644;
  blocks.push(
    tarHeader({
      path,
      flag: FLAGS[type],
      mode: entry.mode ?? defaultMode,
      size: content.length,
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      seconds: Number(mtime / SECOND),
      target,
      device: entry.device ?? [0, 0],
    }),
  );
  if (content.length > 0) blocks.push(padded(content));
  return blocks;
}

/** Fields of one header block as they are written, whether they make sense together or not. */
export interface TarHeaderFields {
  readonly path: string;
  readonly flag: string;
  readonly mode: number;
  readonly size: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly seconds?: number;
  readonly target?: string;
  readonly device?: readonly [number, number];
}

/** One 512-byte ustar header block with a right checksum. */
export function tarHeader(fields: TarHeaderFields): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, offset: number, length: number): void =>
    void block.write(`${(value % 8 ** (length - 1)).toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
  block.write(fields.path.slice(0, 100), 0, 'latin1');
  octal(fields.mode, 100, 8);
  octal(fields.uid ?? 0, 108, 8);
  octal(fields.gid ?? 0, 116, 8);
  octal(fields.size, 124, 12);
  octal(Math.max(fields.seconds ?? 0, 0), 136, 12);
  block.write(fields.flag, 156, 'latin1');
  block.write((fields.target ?? '').slice(0, 100), 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(fields.device?.[0] ?? 0, 329, 8);
  octal(fields.device?.[1] ?? 0, 337, 8);
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
export function paxRecord(key: string, value: Uint8Array): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([bytes(`${length} ${key}=`), value, bytes('\n')]);
}

function decimalSeconds(ns: bigint): string {
  const [sign, size] = ns < 0n ? ['-', -ns] : ['', ns];
  return `${sign}${size / SECOND}.${String(size % SECOND).padStart(9, '0')}`;
}

/** `body` and the zeros that fill its last block. */
export function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
