import { chmodSync, existsSync, lstatSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { NotFoundError, UsageError } from '../errors.js';
import { DEFAULT_MOUNTS, type SpecMount } from './container-spec.js';
import type { MountPoint } from './mount-points.js';
import { pathDepth } from './place-mounts.js';
import type { RunInput, VolumeMount } from './types.js';

/** What mounts are planned from. */
export type MountInput = Pick<RunInput, 'network' | 'volumes' | 'temporary' | 'extraHosts' | 'shmSize'>;

/** What is mounted in a container, and where it has to be made possible. */
export interface MountPlan {
  /** In the order of mounting. */
  readonly mounts: readonly SpecMount[];
  /** Those in the container's own files. */
  readonly points: readonly MountPoint[];
}

/** Where runtimes make device nodes and look for the kernel's file systems by path. */
const REAL = ['/dev', '/proc', '/sys'];

/** In a volume at these the runtime would make its own directories and links, or be told lies about processes. */
const NO_VOLUME = ['/', '/dev', '/proc'];

/**
 * Docker's default mounts, the files about network and host name, and the volumes; outer ones first. Files made for it are
 * put into `directory`. Throws UsageError, NotFoundError (a volume that is not there).
 */
export function planMounts(
  input: MountInput,
  { directory, hostname, cwd }: { readonly directory: string; readonly hostname: string; readonly cwd: string },
): MountPlan {
  const taken = new Set<string>();
  const take = (path: string): string => {
    const target = posix.normalize(`/${path}`).replace(/(.)\/$/, '$1');
    if (NO_VOLUME.includes(target)) {
      throw new UsageError(`no volume can be at ${target}`, { hint: 'mount it at a directory below' });
    }
    if (taken.has(target)) throw new UsageError(`two volumes cannot be at ${target}`, { hint: 'give one of them' });
    taken.add(target);
    return target;
  };
  const own = [
    ...input.volumes.map((volume) => ({
      mount: bind(volume.source, take(volume.target), volume.readOnly),
      kind: isDirectory(volume) ? ('directory' as const) : ('file' as const),
    })),
    ...(input.temporary ?? []).map(({ target, size }) => ({
      mount: temporary(take(target), size),
      kind: 'directory' as const,
    })),
  ];
  const given = [
    ...DEFAULT_MOUNTS.map((mount) => ({ mount: withShmSize(mount, input.shmSize), kind: 'directory' as const })),
    ...hostFiles(input, directory, hostname).map((mount) => ({ mount, kind: 'file' as const })),
  ].filter(({ mount, kind }) => !taken.has(mount.destination) && (kind === 'directory' || fitsInVolume(mount, own)));
  // A stable sort: what lies in another mount comes after it.
  const all = [...given, ...own].sort((a, b) => pathDepth(a.mount.destination) - pathDepth(b.mount.destination));
  const inFiles = (path: string): boolean =>
    !all.some(({ mount }) => path.startsWith(`${mount.destination}/`) || path === mount.destination);
  const points: MountPoint[] = all
    .filter(({ mount }) => !all.some(({ mount: outer }) => mount.destination.startsWith(`${outer.destination}/`)))
    .map(({ mount, kind }) => ({ path: mount.destination, kind, isReal: REAL.includes(mount.destination) }));
  if (inFiles(cwd)) points.push({ path: cwd, kind: 'directory', isReal: false });
  return { mounts: all.map(({ mount }) => mount), points };
}

/** With the host's network its own files, which the container must not change; else ones made for this run. */
function hostFiles({ network, extraHosts = [] }: MountInput, directory: string, hostname: string): SpecMount[] {
  const made = (name: string, text: string): SpecMount => {
    writeFileSync(join(directory, name), text);
    // Every user of the container reads it, whatever the umask of whoever runs imgtool.
    chmodSync(join(directory, name), 0o644);
    return bind(join(directory, name), `/etc/${name}`, false);
  };
  const name = made('hostname', `${hostname}\n`);
  if (network === 'host') {
    const files = ['/etc/resolv.conf', '/etc/hosts'].filter((path) => existsSync(path));
    const binds = files.map((path) => bind(realpathSync(path), path, true));
    if (extraHosts.length === 0) return [name, ...binds];
    const hosts = files.includes('/etc/hosts') ? readFileSync('/etc/hosts', 'utf8') : '';
    return [
      name,
      ...binds.filter(({ destination }) => destination !== '/etc/hosts'),
      made('hosts', withLines(hosts, extraHosts)),
    ];
  }
  const hosts = `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
  return [name, made('hosts', withLines(hosts, extraHosts))];
}

function withLines(text: string, lines: readonly string[]): string {
  const start = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  return start + lines.map((line) => `${line}\n`).join('');
}

/** A file about the network or host name is mounted over one that is in a volume, but never makes one there. */
function fitsInVolume({ destination }: SpecMount, volumes: readonly { readonly mount: SpecMount }[]): boolean {
  const inside = volumes.filter(({ mount }) => destination.startsWith(`${mount.destination}/`));
  const [nearest] = inside.sort((a, b) => pathDepth(b.mount.destination) - pathDepth(a.mount.destination));
  if (nearest === undefined) return true;
  const path = join(nearest.mount.source, destination.slice(nearest.mount.destination.length));
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function temporary(destination: string, size: number | undefined): SpecMount {
  const options = ['nosuid', 'nodev', 'mode=1777', ...(size === undefined ? [] : [`size=${size}`])];
  return { destination, type: 'tmpfs', source: 'tmpfs', options };
}

function withShmSize(mount: SpecMount, size: number | undefined): SpecMount {
  if (size === undefined || mount.destination !== '/dev/shm') return mount;
  return { ...mount, options: mount.options.map((option) => (option.startsWith('size=') ? `size=${size}` : option)) };
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
