import { csvFields } from './csv.js';
import { parseBoolean } from './directives.js';
import { given } from './flags.js';
import type { RunInstruction } from './instructions.js';
import { expand, type Environment } from './lexer.js';
import { inInstruction, suggestion, SyntaxProblem } from './problem.js';

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
const SHARING = ['shared', 'private', 'locked'] as const;

/** An expanded, validated mount of RUN. Paths are as written; the target may be relative to WORKDIR. */
export interface RunMount {
  readonly type: (typeof TYPES)[number];
  /** The stage, image or build context of `source`; never expanded. */
  readonly from?: string;
  readonly source?: string;
  readonly target?: string;
  readonly readOnly: boolean;
  /** Bytes; tmpfs only. */
  readonly size?: number;
  /** ID of a secret, an SSH agent, or a cache (default: its target). */
  readonly id?: string;
  /** Cache only. */
  readonly sharing?: (typeof SHARING)[number];
  /** Secret and ssh only. */
  readonly required: boolean;
  /** The variable for a secret; empty: named after the secret. */
  readonly env?: string;
  /** Cache, secret and ssh only. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** Alternative spellings of keys. */
const ALIASES: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
  rw: 'readwrite',
};
const KEYS = ['type', 'from', 'source', 'target', 'readonly', 'readwrite', 'id', 'sharing', 'required', 'size', 'mode'];
const ALL_KEYS = [...KEYS, 'uid', 'gid', 'env', ...Object.keys(ALIASES)];
/** Keys that need no value. */
const SWITCHES = ['readonly', 'readwrite', 'required'];

/** Parses the mounts of a RUN and expands their values. Throws DockerfileError. */
export function mountsOf(run: RunInstruction, environment: Environment): RunMount[] {
  const { escape } = run;
  return inInstruction(run, () =>
    run.mounts.map((mount) => parseMount(mount, (value) => expand(value, environment, { escape }).text)),
  );
}

/** Parses one `--mount`. Calls `expandValue` for each value except that of `from`. Throws SyntaxProblem. */
export function parseMount(mount: string, expandValue: (value: string) => string): RunMount {
  const values = mountValues(mount, expandValue);
  const type = oneOf('type', values.get('type') ?? 'bind', TYPES);
  checkKeys(type, values);
  const flag = (key: string): boolean | undefined =>
    values.has(key) ? parseBoolean(values.get(key)!, `--mount ${key}`) : undefined;
  const writes = flag('readwrite');
  const size = values.get('size');
  const sharing = values.get('sharing');
  const mode = values.get('mode');
  return {
    type,
    readOnly: flag('readonly') ?? (writes === undefined ? type !== 'cache' && type !== 'tmpfs' : !writes),
    required: flag('required') ?? false,
    ...given({
      from: values.get('from') || undefined,
      source: values.get('source') || undefined,
      target: values.get('target') || undefined,
      id: values.get('id') || undefined,
      env: values.get('env'),
      size: size === undefined ? undefined : parseBytes(size),
      sharing: sharing === undefined ? undefined : oneOf('sharing', sharing, SHARING),
      mode: mode === undefined ? undefined : parseNumber('mode', mode, 8),
      uid: values.has('uid') ? parseNumber('uid', values.get('uid')!, 10) : undefined,
      gid: values.has('gid') ? parseNumber('gid', values.get('gid')!, 10) : undefined,
    }),
  };
}

/** Validates the keys of a mount, and its values without variables, before the variables are known. Throws SyntaxProblem. */
export function checkMount(mount: string): void {
  const values = mountValues(mount, (value) => value);
  if ([...values.values()].some((value) => /[$\\`'"]/.test(value))) return;
  parseMount(mount, (value) => value);
}

/** The `from` of a mount, which needs no expansion. Throws SyntaxProblem. */
export function mountFrom(mount: string): string | undefined {
  return mountValues(mount, (value) => value).get('from') || undefined;
}

function mountValues(mount: string, expandValue: (value: string) => string): Map<string, string> {
  const values = new Map<string, string>();
  for (const field of csvFields(mount)) {
    const equals = field.indexOf('=');
    const written = field.slice(0, equals < 0 ? undefined : equals).toLowerCase();
    const key = (Object.hasOwn(ALIASES, written) ? ALIASES[written] : undefined) ?? written;
    if (!ALL_KEYS.includes(key))
      throw new SyntaxProblem(`--mount has an unknown key ${JSON.stringify(written)}`, suggestion(written, ALL_KEYS));
    if (equals < 0 && !SWITCHES.includes(key))
      throw new SyntaxProblem(`--mount: ${written} has no value`, `write ${written}=VALUE`);
    const value = equals < 0 ? 'true' : field.slice(equals + 1);
    if (key === 'from' && /\$./.test(value))
      throw new SyntaxProblem(
        '--mount from does not expand variables',
        'define a stage with FROM and an ARG of the global scope, and name that stage',
      );
    // The last of readonly and readwrite wins.
    if (key === 'readonly') values.delete('readwrite');
    if (key === 'readwrite') values.delete('readonly');
    values.set(key, key === 'from' ? value : expandValue(value));
  }
  return values;
}

function checkKeys(type: RunMount['type'], values: ReadonlyMap<string, string>): void {
  const only = (keys: readonly string[], types: readonly string[]): void => {
    const key = types.includes(type) ? undefined : keys.find((name) => values.has(name));
    if (key !== undefined) throw new SyntaxProblem(`--mount: ${key} is not for a mount of type ${type}`);
  };
  only(['required'], ['secret', 'ssh']);
  only(['size'], ['tmpfs']);
  only(['mode', 'uid', 'gid'], ['secret', 'ssh', 'cache']);
  only(['sharing'], ['cache']);
  if (type !== 'secret') return;
  const has = (key: string): boolean => (values.get(key) ?? '') !== '';
  if (has('from')) throw new SyntaxProblem('--mount: from is not for a mount of type secret');
  if (!has('source') && !has('target') && !has('id'))
    throw new SyntaxProblem('a secret mount has neither id nor target', 'write --mount=type=secret,id=NAME');
  if (has('source') && has('id')) throw new SyntaxProblem('a secret mount has both id and source', 'give one of them');
}

function oneOf<T extends string>(key: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((name) => name === value.toLowerCase());
  if (found !== undefined) return found;
  throw new SyntaxProblem(
    `--mount: ${key} is not ${JSON.stringify(value)}`,
    suggestion(value, allowed) ?? `it is one of ${allowed.join(', ')}`,
  );
}

function parseNumber(key: string, value: string, base: 8 | 10): number {
  const digits = base === 8 ? /^[0-7]{1,11}$/ : /^\d{1,10}$/;
  const number = digits.test(value) ? parseInt(value, base) : NaN;
  if (number < 2 ** 32) return number;
  throw new SyntaxProblem(
    `--mount: ${key} is not ${JSON.stringify(value)}`,
    base === 8 ? 'write it in octal, such as 0755' : 'write a number',
  );
}

/** Parses a size in Docker's units: `128m` is 128 MiB. */
function parseBytes(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,9})?) ?(?:([kmgtp])i?b?|b)?$/i.exec(text);
  if (match === null) throw new SyntaxProblem(`--mount: size is not ${JSON.stringify(text)}`, 'write it as 64m or 1g');
  const power = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1;
  return Math.floor(Number(match[1]) * 1024 ** power);
}
