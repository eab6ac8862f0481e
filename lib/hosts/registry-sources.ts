import { UsageError } from '../errors.js';
import { isRepositoryName } from '../spec/index.js';
import { readDaemonRegistries, type DaemonRegistries } from './docker-daemon.js';
import type { MachineEnvironment } from './machine.js';
import { readRegistriesConf, type RegistryTable } from './registries-conf.js';

/** A source of a repository. */
export interface RegistrySource {
  /** `host[:port]`. */
  readonly host: string;
  readonly repository: string;
  /** Accept any certificate and plain HTTP. */
  readonly insecure: boolean;
  /** The only kind of reference to request there; default: both. Blobs count as digests. */
  readonly only?: 'digest' | 'tag';
}

/** The sources of repositories, according to this machine's settings. */
export interface RegistrySources {
  /**
   * The sources of a repository: mirrors in order, then the repository itself. Throws UsageError when it is blocked or
   * a table yields an invalid name.
   */
  readonly of: (host: string, repository: string) => readonly [...RegistrySource[], RegistrySource];
  /** Throws UsageError when reading from there is blocked. */
  readonly check: (host: string, path: string) => void;
  /** Reports whether any certificate and plain HTTP are accepted for everything at `host[:port]`. */
  readonly insecure: (host: string) => boolean;
}

const HUB = 'docker.io';

/** Combines registries.conf and, for Docker Hub if that names no mirror, Docker's daemon.json. Throws UsageError. */
export async function registrySources(machine: MachineEnvironment): Promise<RegistrySources> {
  return joinSources(await readRegistriesConf(machine), readDaemonRegistries(machine));
}

/** Like `registrySources`, for settings that were already read. */
function joinSources(tables: readonly RegistryTable[], daemon: DaemonRegistries): RegistrySources {
  const find = (host: string, path: string): Match | undefined => {
    const found = longest(tables, host, path);
    if (found?.table.blocked !== true) return found;
    throw new UsageError(`${host}/${path} is blocked in ${found.table.file}`, {
      hint: 'its owner does not want images from there; see "blocked" in that file',
    });
  };
  return {
    check: (host, path) => void find(host, path),
    of: (host, repository) => {
      const found = find(host, repository);
      const own = found === undefined ? undefined : rewrite(found.table.location, found);
      const itself = {
        ...(own ?? { host, repository }),
        insecure: found?.table.insecure === true || daemon.insecure(own?.host ?? host),
      };
      const mirrors = (found?.table.mirrors ?? []).map(({ location, insecure, pull }) => ({
        ...(rewrite(location, found!) ?? { host, repository }),
        insecure,
        ...(pull === 'all' ? {} : { only: pull === 'tag-only' ? ('tag' as const) : ('digest' as const) }),
      }));
      if (mirrors.length > 0 || host !== HUB) return [...mirrors, itself];
      return [...daemon.mirrors.map((mirror) => ({ ...mirror, repository })), itself];
    },
    insecure: (host) =>
      daemon.insecure(host) ||
      tables.some(({ prefix, insecure }) => insecure && matchLength(prefix, host) !== undefined),
  };
}

interface Match {
  readonly table: RegistryTable;
  /** The rest of the name after the matching part: empty, or starting with a slash or colon. */
  readonly rest: string;
}

/** The table with the longest matching prefix. */
function longest(tables: readonly RegistryTable[], host: string, repository: string): Match | undefined {
  const name = `${host}/${repository}`;
  let best: Match | undefined;
  for (const table of tables) {
    const length = matchLength(table.prefix, name);
    if (length === undefined || (best !== undefined && best.table.prefix.length >= table.prefix.length)) continue;
    best = { table, rest: name.slice(length) };
  }
  return best;
}

/** The length of the part of `name` that the prefix matches, in whole components; undefined when it does not match. */
function matchLength(prefix: string, name: string): number | undefined {
  if (prefix.startsWith('*.')) {
    const at = name.indexOf(prefix.slice(1));
    // The star matches at least one character, and only within the host name.
    if (at <= 0 || name.slice(0, at).includes('/')) return undefined;
    return boundary(name, at + prefix.length - 1);
  }
  return name.startsWith(prefix) ? boundary(name, prefix.length) : undefined;
}

function boundary(name: string, length: number): number | undefined {
  return length === name.length || name[length] === '/' ? length : undefined;
}

/** Replaces the matching part with the table's location. Undefined when there is no location. */
function rewrite(
  location: string,
  { table, rest }: Match,
): { readonly host: string; readonly repository: string } | undefined {
  if (location === '') return undefined;
  const name = `${location}${rest}`;
  const slash = name.indexOf('/');
  const repository = name.slice(slash + 1);
  if (slash > 0 && isRepositoryName(repository)) return { host: name.slice(0, slash), repository };
  throw new UsageError(
    `${table.file} is invalid: in the [[registry]] ${table.prefix} the location ${location} has no repository`,
    {
      hint: 'see containers-registries.conf(5)',
    },
  );
}
