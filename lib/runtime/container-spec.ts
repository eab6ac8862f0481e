import { UsageError } from '../errors.js';
import { containerCapabilities } from './capabilities.js';
import { cgroupName } from './end-container.js';
import type { ContainerUser } from './find-user.js';
import { hostDevices } from './host-devices.js';
import { INIT_PATH } from './init-program.js';
import { canFilterSystemCalls, defaultSeccomp, type SeccompFilter } from './seccomp.js';
import { compileSeccomp } from './seccomp-profile.js';
import type { RunInput } from './types.js';
import { terminalSize } from './window-size.js';

/** A mount of the runtime specification (runtime-spec config.md, "Mounts"). */
export interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** Docker's default mounts (moby, oci/defaults.go), without the cgroup file system. */
export const DEFAULT_MOUNTS: readonly SpecMount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
];

const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];

const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const ALL_DEVICES = [{ allow: true, access: 'rwm' }];

/** Allows creating nodes and using the harmless ones, nothing else (moby, oci/devices). */
const DEVICE_RULES = [
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...[
    [1, 3],
    [1, 5],
    [1, 7],
    [1, 8],
    [1, 9],
    [5, 0],
    [5, 1],
    [5, 2],
  ].map(([major, minor]) => ({ allow: true, type: 'c', major, minor, access: 'rwm' })),
  { allow: true, type: 'c', major: 136, access: 'rwm' },
];

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The parts of the spec that are determined beforehand. */
interface SpecParts {
  readonly user: ContainerUser;
  readonly mounts: readonly SpecMount[];
  readonly cwd: string;
  readonly hostname: string;
  /** Control groups are available, so device rules are enforced. */
  readonly cgroups: boolean;
}

/** The process to start (runtime-spec config.md, "Process"). */
interface SpecProcess {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
}

/** Creates the document from which an OCI runtime starts a container (runtime-spec config.md). Throws UsageError. */
export function containerSpec(
  input: RunInput,
  { user, mounts, cwd, hostname, cgroups }: SpecParts,
): { readonly process: SpecProcess; readonly [field: string]: unknown } {
  // Without device rules, a container's root that can create nodes could access the disks of this machine.
  const { privileged } = input;
  const capabilities = containerCapabilities(input, { mknod: cgroups || privileged });
  const process = {
    terminal: input.terminal,
    ...(input.terminal ? consoleSize() : {}),
    user: {
      uid: user.uid,
      gid: user.gid,
      // Like docker: otherwise a program that drops its group could escape restrictions of that group (CVE-2022-36109).
      additionalGids: [...new Set([user.gid, ...user.additionalGids])],
      umask: 0o022,
    },
    args: [...(input.init ? [INIT_PATH, '--'] : []), ...commandLine(input)],
    env: environment(input, { hostname, home: user.home }),
    cwd,
    // As after execve(2): other users have no capabilities, but their set-user-ID programs may get some.
    capabilities:
      user.uid === 0
        ? { bounding: capabilities, effective: capabilities, permitted: capabilities }
        : { bounding: capabilities },
    noNewPrivileges: false,
    ...(input.processLimits.length === 0 ? {} : { rlimits: input.processLimits }),
  };
  return {
    ociVersion: '1.0.2',
    process,
    root: { path: input.rootfs, readonly: input.readOnly },
    hostname,
    ...(cgroups || privileged ? { mounts } : withoutDevices(mounts, input.rootfs)),
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts', ...(input.network === 'none' ? ['network'] : [])].map((type) => ({
        type,
      })),
      ...(cgroups ? { cgroupsPath: `/${cgroupName(input.id)}`, resources: resources(input) } : {}),
      ...(privileged ? { devices: hostDevices() } : {}),
      ...systemCallFilter(input, capabilities),
      ...(privileged ? {} : { maskedPaths: MASKED_PATHS, readonlyPaths: READONLY_PATHS }),
    },
  };
}

/** Docker's period of processor time. Microseconds. */
const CPU_PERIOD_US = 100_000;

function resources({ privileged, limits: { memory, pids, cpus } }: RunInput): object {
  return {
    devices: privileged ? ALL_DEVICES : DEVICE_RULES,
    ...(memory === undefined ? {} : { memory: { limit: memory } }),
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
    ...(cpus === undefined ? {} : { cpu: { period: CPU_PERIOD_US, quota: Math.round(cpus * CPU_PERIOD_US) } }),
  };
}

function consoleSize(): object {
  const size = terminalSize();
  return size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } };
}

/** Throws when a requested filter is not possible, instead of running without one. */
function systemCallFilter(
  { seccomp, privileged }: RunInput,
  capabilities: readonly string[],
): { readonly seccomp?: SeccompFilter } {
  if (seccomp === 'unconfined' || (privileged && seccomp === undefined)) return {};
  const filter = seccomp === undefined ? defaultSeccomp(capabilities) : compileSeccomp(seccomp.profile, capabilities);
  if (canFilterSystemCalls()) return { seccomp: filter };
  if (seccomp === undefined) return {};
  throw new UsageError('this kernel cannot filter system calls', { hint: 'seccomp=unconfined runs without a filter' });
}

/**
 * Without device rules, only the devices of the container's own /dev may be usable. The runtime accepts no mount
 * options for the root, so a hook sets `nodev` in the container's namespace before anything of the container runs.
 */
function withoutDevices(mounts: readonly SpecMount[], rootfs: string): object {
  return {
    mounts: mounts.map((mount) => (mount.type === 'bind' ? { ...mount, options: [...mount.options, 'nodev'] } : mount)),
    hooks: {
      createContainer: [{ path: '/bin/mount', args: ['mount', '-o', 'remount,bind,nodev', rootfs] }],
    },
  };
}

function commandLine({ execution, entrypoint, command }: RunInput): string[] {
  // Like docker: with another entry point, the image's own command is meaningless.
  const rest = command.length > 0 ? command : entrypoint === undefined ? (execution.Cmd ?? []) : [];
  const argv = [...(entrypoint ?? execution.Entrypoint ?? []), ...rest];
  if (argv.length > 0) return argv;
  throw new UsageError('the image has no default command', { hint: 'add one after the name' });
}

function environment(input: RunInput, { hostname, home }: { hostname: string; home: string }): string[] {
  const variables = new Map<string, string>([
    ['PATH', DEFAULT_PATH],
    ['HOSTNAME', hostname],
    ...(input.terminal ? ([['TERM', 'xterm']] as const) : []),
    ['HOME', home],
  ]);
  for (const [text, isOwn] of [
    ...(input.execution.Env ?? []).map((entry) => [entry, false] as const),
    ...input.env.map((entry) => [entry, true] as const),
  ]) {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    // Variables of an image never take values of this machine.
    const value = equals >= 0 ? text.slice(equals + 1) : isOwn ? process.env[name] : undefined;
    if (name === '' || text.includes('\0')) {
      throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is not a variable`, { hint: 'write NAME=VALUE' });
    }
    if (value !== undefined) variables.set(name, value);
  }
  return [...variables].map(([name, value]) => `${name}=${value}`);
}
