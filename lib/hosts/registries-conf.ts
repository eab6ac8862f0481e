import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import type { MachineEnvironment } from './machine.js';

/** One `[[registry]]` of registries.conf (containers-registries.conf(5), version 2). */
export interface RegistryTable {
  /** What names must begin with, `*.` first for any host below; never empty. */
  readonly prefix: string;
  /** What takes the prefix's place; empty with a wildcard: nothing does. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly MirrorTable[];
  /** File it is from. */
  readonly file: string;
}

/** One `[[registry.mirror]]`. */
export interface MirrorTable {
  readonly location: string;
  readonly insecure: boolean;
  readonly pull: 'all' | 'digest-only' | 'tag-only';
}

/**
 * Reads registries.conf as podman finds it: `CONTAINERS_REGISTRIES_CONF`, else the user's, else the machine's; then the
 * `*.conf` of registries.conf.d, where a later table takes the place of an earlier one for the same prefix. The TOML parser is
 * loaded only when there is a file. Throws UsageError naming the file that makes no sense.
 */
export async function readRegistriesConf(machine: MachineEnvironment): Promise<readonly RegistryTable[]> {
  const tables = new Map<string, RegistryTable>();
  for (const path of filesOf(machine)) {
    const text = readFileSync(path, 'utf8');
    // Most machines have a file with nothing but comments, and many with aliases only.
    if (!/^\s*(\[\[?\s*registr|registry\s*=)/m.test(text)) continue;
    for (const table of parseRegistriesConf((await import('smol-toml')).parse, text, path)) {
      tables.set(table.prefix, table);
    }
  }
  return [...tables.values()];
}

function filesOf({ env, home }: MachineEnvironment): string[] {
  const chosen = env.CONTAINERS_REGISTRIES_CONF;
  const own = join(home, '.config/containers/registries.conf');
  const main = [chosen ?? '', own, '/etc/containers/registries.conf'].find((path) => path !== '' && isReadable(path));
  if (chosen !== undefined && chosen !== '' && main !== chosen) {
    throw new UsageError(`cannot read ${chosen}`, { hint: 'check CONTAINERS_REGISTRIES_CONF' });
  }
  const directories = ['/etc/containers/registries.conf.d', `${own}.d`];
  return [...(main === undefined ? [] : [main]), ...directories.flatMap(dropIns)];
}

function dropIns(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => join(directory, name))
      .filter(isReadable);
  } catch {
    // Absent, or not meant for this user.
    return [];
  }
}

function isReadable(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Parses one file. Throws UsageError. */
export function parseRegistriesConf(
  parseToml: (text: string) => Record<string, unknown>,
  text: string,
  file: string,
): RegistryTable[] {
  const refuse = (why: string, cause?: unknown): never => {
    throw new UsageError(`${file} makes no sense: ${why}`, { cause, hint: 'see containers-registries.conf(5)' });
  };
  let document: Record<string, unknown> = {};
  try {
    document = parseToml(text);
  } catch (error) {
    refuse((error as Error).message.split('\n', 1)[0]!, error);
  }
  if ('registries' in document) refuse('it is of version 1, which podman does not read any more either');
  const entries = document.registry ?? [];
  if (!Array.isArray(entries)) return refuse('registry is not a list: write [[registry]]');
  return (entries as Record<string, unknown>[]).map((entry) => {
    const location = textOf(entry.location).replace(/\/+$/, '');
    const prefix = textOf(entry.prefix).replace(/\/+$/, '') || location;
    if (prefix === '') refuse('a [[registry]] has neither prefix nor location');
    if (location === '' && !prefix.startsWith('*.')) refuse(`the [[registry]] ${prefix} has no location`);
    const digestOnly = entry['mirror-by-digest-only'] === true;
    const mirrors = Array.isArray(entry.mirror) ? (entry.mirror as Record<string, unknown>[]) : [];
    return {
      prefix,
      location,
      insecure: entry.insecure === true,
      blocked: entry.blocked === true,
      file,
      mirrors: mirrors.map((mirror) => {
        const at = textOf(mirror.location).replace(/\/+$/, '') || refuse(`a mirror of ${prefix} has no location`);
        const pull = mirror['pull-from-mirror'] ?? (digestOnly ? 'digest-only' : 'all');
        if (pull !== 'all' && pull !== 'digest-only' && pull !== 'tag-only') {
          return refuse(`pull-from-mirror of ${at} is none of all, digest-only, tag-only`);
        }
        return { location: at, insecure: mirror.insecure === true, pull };
      }),
    };
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
