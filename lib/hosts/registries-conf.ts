import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import type { MachineEnvironment } from './machine.js';

/** One `[[registry]]` of registries.conf (containers-registries.conf(5), version 2). */
export interface RegistryTable {
  /** The prefix that names must have, or `*.` for all hosts below; never empty. */
  readonly prefix: string;
  /** Replaces the prefix; empty with a wildcard: no replacement. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly MirrorTable[];
  /** The file that contains it. */
  readonly file: string;
}

/** One `[[registry.mirror]]`. */
interface MirrorTable {
  readonly location: string;
  readonly insecure: boolean;
  readonly pull: 'all' | 'digest-only' | 'tag-only';
}

/** A valid location, or prefix without its star. Its path may end in a tag or digest. */
const ADDRESS = /^([\w.-]+|\[[\da-f:]+\])(:\d+)?(\/[^\s/?#]+)*$/i;

/**
 * Reads registries.conf from the same places as podman: `CONTAINERS_REGISTRIES_CONF`, or else the user's file, or else
 * the machine's; then the `*.conf` files of registries.conf.d, where a later table replaces an earlier one with the
 * same prefix. Loads the TOML parser only when there is a file. Throws UsageError that names the invalid file.
 */
export async function readRegistriesConf(machine: MachineEnvironment): Promise<readonly RegistryTable[]> {
  const tables = new Map<string, RegistryTable>();
  for (const path of registriesConfFiles(machine)) {
    const text = readFileSync(path, 'utf8');
    // Most machines have a file with only comments, and many have one with only aliases.
    if (!/^\s*(\[\[?\s*registr|registry\s*=)/m.test(text)) continue;
    for (const table of parseRegistriesConf((await import('smol-toml')).parse, text, path)) {
      tables.set(table.prefix, table);
    }
  }
  return [...tables.values()];
}

/** The files with registry settings, in reading order. Throws UsageError when the explicitly chosen one is missing. */
export function registriesConfFiles({ env, home }: MachineEnvironment): string[] {
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
    // Missing, or not readable for this user.
    return [];
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return !statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Parses the TOML of one file. Throws UsageError. */
export function parseConfToml(
  parseToml: (text: string) => Record<string, unknown>,
  text: string,
  file: string,
): Record<string, unknown> {
  try {
    return parseToml(text);
  } catch (cause) {
    const [why] = (cause as Error).message.split('\n', 1);
    throw new UsageError(`${file} is invalid: ${why}`, { cause, hint: 'see containers-registries.conf(5)' });
  }
}

/** Parses one file. Throws UsageError. */
function parseRegistriesConf(
  parseToml: (text: string) => Record<string, unknown>,
  text: string,
  file: string,
): RegistryTable[] {
  const refuse = (why: string): never => {
    throw new UsageError(`${file} is invalid: ${why}`, { hint: 'see containers-registries.conf(5)' });
  };
  const document = parseConfToml(parseToml, text, file);
  if ('registries' in document) refuse('it has the version 1 format, which podman no longer reads either');
  const entries = document.registry ?? [];
  if (!Array.isArray(entries)) return refuse('registry is not a list: write [[registry]]');
  const addressOf = (value: unknown, star = /^/): string => {
    const address = textOf(value).replace(/\/+$/, '');
    if (address === '' || ADDRESS.test(address.replace(star, ''))) return address;
    return refuse(`the [[registry]] or mirror ${JSON.stringify(address)} is not HOST[:PORT][/PATH]`);
  };
  return (entries as Record<string, unknown>[]).map((entry) => {
    const location = addressOf(entry.location);
    const prefix = addressOf(entry.prefix, /^\*\./) || location;
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
        const at = addressOf(mirror.location) || refuse(`a mirror of ${prefix} has no location`);
        const pull = mirror['pull-from-mirror'] ?? (digestOnly ? 'digest-only' : 'all');
        if (pull !== 'all' && pull !== 'digest-only' && pull !== 'tag-only') {
          return refuse(`pull-from-mirror of ${at} is not one of all, digest-only, tag-only`);
        }
        return { location: at, insecure: mirror.insecure === true, pull };
      }),
    };
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
