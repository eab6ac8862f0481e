import { chmodSync, existsSync, lstatSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { NotFoundError, UsageError } from '../errors.js';
import { DEFAULT_MOUNTS, type SpecMount } from './container-spec.js';
import { findInit, INIT_PATH } from './init-program.js';
import type { MountPoint } from './mount-points.js';
import { pathDepth } from './place-mounts.js';
import type { RunInput, VolumeMount } from './types.js';

/** The mounts of a container and the mount points that they require. */
interface MountPlan {
  /** In mounting order. */
  readonly mounts: readonly SpecMount[];
  /** Mount points in the container's own files. */
  readonly points: readonly MountPoint[];
}

/** The settings of a run that concern mounts. */
type MountRequest = Pick<RunInput, 'network' | 'volumes'> &
  Partial<Pick<RunInput, 'tmpfs' | 'addHosts' | 'shmSize' | 'privileged' | 'init'>>;

/** The runtime creates device nodes here and looks for kernel file systems by these paths. */
const REAL = ['/dev', '/proc', '/sys'];

/** A volume here would receive the runtime's own directories and links, or present false process information. */
const NO_VOLUME = ['/', '/dev', '/proc'];

/**
 * Docker's default mounts, the files about network and host name, and the volumes; outer ones first. Writes the files
 * that it needs into `directory`. Throws UsageError, NotFoundError (a missing volume).
 */
export function planMounts(
  input: MountRequest,
  { directory, hostname, cwd }: { readonly directory: string; readonly hostname: string; readonly cwd: string },
): MountPlan {
  const taken = new Set<string>();
  const { volumes, tmpfs = [], privileged = false, init = false } = input;
  const place = (path: string): string => {
    const target = posix.normalize(`/${path}`).replace(/(.)\/$/, '$1');
    if (NO_VOLUME.includes(target)) {
      throw new UsageError(`cannot mount a volume at ${target}`, { hint: 'mount it on a directory below' });
    }
    if (taken.has(target))
      throw new UsageError(`two volumes have the target ${target}`, { hint: 'remove one of them' });
    taken.add(target);
    return target;
  };
  const own: { readonly mount: SpecMount; readonly kind: MountPoint['kind'] }[] = [
    ...volumes.map((volume) => ({
      mount: bind(volume.source, place(volume.target), volume.readOnly),
      kind: isDirectory(volume) ? ('directory' as const) : ('file' as const),
    })),
    ...tmpfs.map(({ target, options }) => ({ mount: inMemory(place(target), options), kind: 'directory' as const })),
  ];
  const given = [
    ...DEFAULT_MOUNTS.map((mount) => withShmSize(mount, input.shmSize)).map((mount) => ({
      mount: privileged ? { ...mount, options: mount.options.filter((option) => option !== 'ro') } : mount,
      kind: 'directory' as const,
    })),
    ...hostFiles(input, directory, hostname).map((mount) => ({ mount, kind: 'file' as const })),
    ...(init ? [{ mount: bind(findInit(), INIT_PATH, true), kind: 'file' as const }] : []),
  ].filter(({ mount, kind }) => !taken.has(mount.destination) && (kind === 'directory' || fitsInVolume(mount, own)));
  // A stable sort: a mount inside another one comes after it.
  const all = [...given, ...own].sort((a, b) => pathDepth(a.mount.destination) - pathDepth(b.mount.destination));
  const inFiles = (path: string): boolean =>
    !all.some(({ mount }) => path.startsWith(`${mount.destination}/`) || path === mount.destination);
  const points: MountPoint[] = all
    .filter(({ mount }) => !all.some(({ mount: outer }) => mount.destination.startsWith(`${outer.destination}/`)))
    .map(({ mount, kind }) => ({ path: mount.destination, kind, isReal: REAL.includes(mount.destination) }));
  if (inFiles(cwd)) points.push({ path: cwd, kind: 'directory', isReal: false });
  return { mounts: all.map(({ mount }) => mount), points };
}

/** With the host's network: the host's files, read-only for the container. Otherwise files created for this run. */
function hostFiles({ network, addHosts = [] }: MountRequest, directory: string, hostname: string): SpecMount[] {
  const added = addHosts.map(({ name, address }) => `${address}\t${name}\n`).join('');
  const made = (name: string, text: string): SpecMount => {
    writeFileSync(join(directory, name), text);
    // Readable for every user of the container, regardless of the umask.
    chmodSync(join(directory, name), 0o644);
    return bind(join(directory, name), `/etc/${name}`, false);
  };
  const name = made('hostname', `${hostname}\n`);
  if (network === 'host') {
    const shared = added === '' ? ['/etc/resolv.conf', '/etc/hosts'] : ['/etc/resolv.conf'];
    const files = shared.filter((path) => existsSync(path)).map((path) => bind(realpathSync(path), path, true));
    if (added === '') return [name, ...files];
    const hosts = existsSync('/etc/hosts') ? readFileSync('/etc/hosts', 'utf8').replace(/\n?$/, '\n') : '';
    return [name, ...files, made('hosts', hosts + added)];
  }
  return [name, made('hosts', `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n${added}`)];
}

/** A file about the network or host name is mounted over an existing one in a volume, but never created there. */
function fitsInVolume({ destination }: SpecMount, volumes: readonly { readonly mount: SpecMount }[]): boolean {
  const inside = volumes.filter(({ mount }) => destination.startsWith(`${mount.destination}/`));
  const [nearest] = inside.sort((a, b) => pathDepth(b.mount.destination) - pathDepth(a.mount.destination));
  if (nearest === undefined) return true;
  const path = join(nearest.mount.source, destination.slice(nearest.mount.destination.length));
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function withShmSize(mount: SpecMount, size: number | undefined): SpecMount {
  if (size === undefined || mount.destination !== '/dev/shm') return mount;
  return { ...mount, options: mount.options.map((option) => (option.startsWith('size=') ? `size=${size}` : option)) };
}

function bind(source: string, destination: string, readOnly: boolean): SpecMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] };
}

/** Like Docker: nodev, nosuid and noexec unless the options say otherwise. */
function inMemory(destination: string, options: readonly string[]): SpecMount {
  const safe = ['nosuid', 'nodev', 'noexec'].filter((option) => !options.includes(option.slice(2)));
  const mode = options.some((option) => option.startsWith('mode=')) ? [] : ['mode=1777'];
  return { destination, type: 'tmpfs', source: 'tmpfs', options: [...safe, ...mode, ...options] };
}

function isDirectory({ source }: VolumeMount): boolean {
  const stat = statSync(source, { throwIfNoEntry: false });
  if (stat !== undefined) return stat.isDirectory();
  throw new NotFoundError(`${source} does not exist`, {
    kind: 'file',
    subject: source,
    hint: 'create the directory first, or choose another one with --volume',
  });
}
