import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { UsageError } from '../errors.js';
import type { RunRequest } from '../operations/index.js';
import { fileError } from '../util/index.js';

type Volume = RunRequest['volumes'][number];
type Tmpfs = RunRequest['tmpfs'][number];

/** Parses `LOCAL-PATH:/CONTAINER-PATH[:ro]`. Throws UsageError. */
export function parseVolume(text: string): Volume {
  const [source, target, mode, ...more] = text.split(':');
  const known = mode === undefined || mode === 'ro' || mode === 'rw';
  if (!source || !target?.startsWith('/') || !known || more.length > 0) {
    throw new UsageError(`${quoted(text)} is no volume`, {
      hint: 'write PATH-HERE:/PATH-IN-THE-CONTAINER, with :ro for one that is not written to',
    });
  }
  return { source: resolve(source), target, readOnly: mode === 'ro' };
}

/** Parses `/PATH[:OPTION,…]` in the syntax of docker and podman. Throws UsageError. */
export function parseTmpfs(text: string): Tmpfs {
  const colon = text.indexOf(':');
  const target = colon < 0 ? text : text.slice(0, colon);
  const options = colon < 0 ? [] : text.slice(colon + 1).split(',');
  const unknown = options.find((option) => !/^[a-z_]+(=[\w%.]+)?$/.test(option));
  if (target.startsWith('/') && unknown === undefined) return { target, options };
  throw new UsageError(`${quoted(text)} is no tmpfs`, { hint: 'write /PATH or /PATH:size=64m,mode=1777' });
}

/** Parses `type=bind,source=…,target=…[,readonly]` or `type=tmpfs,target=…[,tmpfs-size=…]`. Throws UsageError. */
export function parseMount(text: string): { readonly volume: Volume } | { readonly tmpfs: Tmpfs } {
  const fields = new Map(
    text.split(',').map((field): [string, string] => {
      const [key = '', ...value] = field.split('=');
      return [MOUNT_KEYS[key] ?? key, value.join('=')];
    }),
  );
  const unknown = [...fields.keys()].find((key) => !MOUNT_FIELDS.includes(key));
  if (unknown !== undefined)
    throw new UsageError(`--mount has no field ${quoted(unknown)}`, {
      hint: `its fields are ${MOUNT_FIELDS.join(', ')}`,
    });
  const { type = 'volume', source = '', target = '', readonly } = Object.fromEntries(fields);
  if (!target.startsWith('/'))
    throw new UsageError(`--mount ${quoted(text)} has no target`, { hint: 'write target=/PATH-IN-THE-CONTAINER' });
  if (type === 'tmpfs') {
    const options = ['size', 'mode'].flatMap((name) => {
      const value = fields.get(`tmpfs-${name}`);
      return value === undefined ? [] : [`${name}=${value}`];
    });
    return { tmpfs: parseTmpfs([target, options.join(',')].filter((part) => part !== '').join(':')) };
  }
  if (type !== 'bind' || source === '') {
    throw new UsageError(type === 'bind' ? '--mount has no source' : `--mount cannot be of the type ${quoted(type)}`, {
      hint: 'there are no named volumes: write type=bind,source=PATH-HERE,target=/PATH, or type=tmpfs,target=/PATH',
    });
  }
  const readOnly = readonly === '' || readonly === 'true' || readonly === '1';
  return { volume: { source: resolve(source), target, readOnly } };
}

const MOUNT_KEYS: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
};
const MOUNT_FIELDS = ['type', 'source', 'target', 'readonly', 'tmpfs-size', 'tmpfs-mode'];

/** Parses `NAME:ADDRESS` or `NAME=ADDRESS`. Throws UsageError. */
export function parseAddHost(text: string): RunRequest['addHosts'][number] {
  const [, name = '', given = ''] = /^([^:=\s]+)[:=](.+)$/.exec(text) ?? [];
  // The container shares the host's network, so the host is its own loopback.
  const address = given === 'host-gateway' ? '127.0.0.1' : given.replace(/^\[(.*)\]$/, '$1');
  if (name !== '' && isIP(address) !== 0) return { name, address };
  throw new UsageError(`${quoted(text)} is no host`, { hint: 'write NAME:ADDRESS, such as db:10.0.0.5' });
}

/** Parses `nofile=1024[:2048]`; -1 means no limit. Throws UsageError. */
export function parseUlimit(text: string): RunRequest['processLimits'][number] {
  const [, name = '', soft = '', hard = soft] = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text) ?? [];
  if (!ULIMITS.includes(name)) {
    throw new UsageError(`${quoted(text)} is no limit`, {
      hint: `write NAME=SOFT[:HARD] with one of ${ULIMITS.join(', ')}`,
    });
  }
  const [low, high] = [soft, hard].map((value) => (value === '-1' ? UNLIMITED : Number(value))) as [number, number];
  if (low > high)
    throw new UsageError(`${quoted(text)}: the soft limit is above the hard one`, { hint: 'write SOFT:HARD' });
  return { type: `RLIMIT_${name.toUpperCase()}`, soft: low, hard: high };
}

/** The largest exact integer in JSON; RLIM_INFINITY is larger. */
const UNLIMITED = Number.MAX_SAFE_INTEGER;
const ULIMITS = [
  ...['as', 'core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss'],
  ...['rtprio', 'rttime', 'sigpending', 'stack'],
];

/** Parses bytes of memory from a number or text; units are powers of 1024, as in docker and podman. Throws UsageError. */
export function parseMemory(given: number | string): number {
  const text = String(given);
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  const bytes =
    number === '' ? NaN : Math.round(Number(number) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase()));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new UsageError(`${quoted(text)} is no amount of memory`, {
    hint: 'write bytes, or a number with a unit: 512m, 2g',
  });
}

/** Reads env files in docker's format: `NAME=value`, or `NAME` for its value in the environment; `#` begins a comment. Throws UsageError. */
export function readEnvFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      throw fileError(path, 'read', error);
    }
    const lines = text
      .replace(/^\ufeff/, '')
      .split(/\r?\n/)
      .map((line) => line.trimStart());
    return lines
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        if (/^[^=\s]+(=|$)/.test(line)) return line;
        throw new UsageError(`${path} has a line that is no variable: ${quoted(line)}`, { hint: 'write NAME=VALUE' });
      });
  });
}

/** Parses `--entrypoint`: a JSON list, as in podman, or one program; empty text means none. Throws UsageError. */
export function parseEntrypoint(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  if (text === '') return [];
  if (!text.startsWith('[')) return [text];
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((word) => typeof word === 'string')) return list;
  } catch {
    // Reported below.
  }
  throw new UsageError(`--entrypoint ${quoted(text)} is no list`, { hint: `write JSON: '["sh", "-c"]'` });
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
