import { chmodSync, existsSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { NotFoundError, UsageError } from '../errors.js';
import { DEFAULT_MOUNTS, type SpecMount } from './container-spec.js';
import type { MountPoint } from './mount-points.js';
import type { RunInput, VolumeMount } from './types.js';

/** What is mounted in a container, and where it has to be made possible. */
export interface MountPlan {
  /** In the order of mounting. */
  readonly mounts: readonly SpecMount[];
  /** Those in the container's own files. */
  readonly points: readonly MountPoint[];
}

/**
 * Docker's default mounts, the files about network and host name, and the volumes; outer ones first. Files made for it are
 * put into `directory`. Throws UsageError, NotFoundError (a volume that is not there).
 */
export function planMounts(
  { network, volumes }: Pick<RunInput, 'network' | 'volumes'>,
  { directory, hostname, cwd }: { readonly directory: string; readonly hostname: string; readonly cwd: string },
): MountPlan {
  const taken = new Set<string>();
  const own = volumes.map((volume): { mount: SpecMount; kind: MountPoint['kind'] } => {
    const target = posix.normalize(`/${volume.target}`).replace(/(.)\/$/, '$1');
    if (target === '/' || taken.has(target)) {
      throw new UsageError(`no volume can be at ${target}${taken.has(target) ? ' twice' : ''}`);
    }
    taken.add(target);
    return {
      mount: bind(volume.source, target, volume.readOnly),
      kind: isDirectory(volume) ? 'directory' : 'file',
    };
  });
  const given = [
    ...DEFAULT_MOUNTS.map((mount) => ({ mount, kind: 'directory' as const })),
    ...hostFiles(network, directory, hostname).map((mount) => ({ mount, kind: 'file' as const })),
  ].filter(({ mount }) => !taken.has(mount.destination));
  // A stable sort: what lies in another mount comes after it.
  const all = [...given, ...own].sort((a, b) => depth(a.mount.destination) - depth(b.mount.destination));
  const inFiles = (path: string): boolean =>
    !all.some(({ mount }) => path.startsWith(`${mount.destination}/`) || path === mount.destination);
  const points: MountPoint[] = all
    .filter(({ mount }) => !all.some(({ mount: outer }) => mount.destination.startsWith(`${outer.destination}/`)))
    .map(({ mount, kind }) => ({ path: mount.destination, kind }));
  if (inFiles(cwd)) points.push({ path: cwd, kind: 'directory' });
  return { mounts: all.map(({ mount }) => mount), points };
}

/** With the host's network its own files, which the container must not change; else ones made for this run. */
function hostFiles(network: 'host' | 'none', directory: string, hostname: string): SpecMount[] {
  const made = (name: string, text: string): SpecMount => {
    writeFileSync(join(directory, name), text);
    // Every user of the container reads it, whatever the umask of whoever runs imgtool.
    chmodSync(join(directory, name), 0o644);
    return bind(join(directory, name), `/etc/${name}`, false);
  };
  const name = made('hostname', `${hostname}\n`);
  if (network === 'host') {
    const files = ['/etc/resolv.conf', '/etc/hosts'].filter((path) => existsSync(path));
    return [name, ...files.map((path) => bind(realpathSync(path), path, true))];
  }
  return [name, made('hosts', `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`)];
}

function bind(source: string, destination: string, readOnly: boolean): SpecMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] };
}

function isDirectory({ source }: VolumeMount): boolean {
  const stat = statSync(source, { throwIfNoEntry: false });
  if (stat !== undefined) return stat.isDirectory();
  throw new NotFoundError(`${source} does not exist`, {
    kind: 'file',
    subject: source,
    hint: 'make the directory first, or give another one with --volume',
  });
}

function depth(path: string): number {
  return path.split('/').length;
}
