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

/** Nothing but making nodes, and using the harmless ones (moby, oci/devices). */
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

/** What of the spec is found out before. */
export interface SpecParts {
  readonly user: ContainerUser;
  readonly mounts: readonly SpecMount[];
  readonly cwd: string;
  readonly hostname: string;
  /** With control groups: which devices may be used is enforced. */
  readonly cgroups: boolean;
}

/** What is started, and how (runtime-spec config.md, "Process"). */
export interface SpecProcess {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
}

/** The document that an OCI runtime starts a container from (runtime-spec config.md). Throws UsageError. */
export function containerSpec(
  input: RunInput,
  { user, mounts, cwd, hostname, cgroups }: SpecParts,
): { readonly process: SpecProcess; readonly [field: string]: unknown } {
  // Without the rules for devices, a container's root that may make nodes could reach the disks of this machine.
  const { privileged } = input;
  const capabilities = containerCapabilities(input, { mknod: cgroups || privileged });
  const process = {
    terminal: input.terminal,
    ...(input.terminal ? consoleSize() : {}),
    user: {
      uid: user.uid,
      gid: user.gid,
      // As docker: a program that gives up its group could else escape what that group may not do (CVE-2022-36109).
      additionalGids: [...new Set([user.gid, ...user.additionalGids])],
      umask: 0o022,
    },
    args: [...(input.init ? [INIT_PATH, '--'] : []), ...commandLine(input)],
    env: environment(input, { hostname, home: user.home }),
    cwd,
    // As execve(2) would leave them: other users get none, but their set-user-ID programs may.
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

/** Period of processor time in microseconds, as Docker has it. */
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

/** A filter that was asked for is not left out. */
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
 * Without rules for devices, none works but those of the /dev made for the container. The runtime takes no options for the
 * root, so a hook sets that one, in the container's namespace and before anything of the container runs.
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
  // As docker: with another entry point, the image's own command has no meaning.
  const rest = command.length > 0 ? command : entrypoint === undefined ? (execution.Cmd ?? []) : [];
  const argv = [...(entrypoint ?? execution.Entrypoint ?? []), ...rest];
  if (argv.length > 0) return argv;
  throw new UsageError('the image says no command to run', { hint: 'give one after the name' });
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
    // What an image says never asks for a value of this machine.
    const value = equals >= 0 ? text.slice(equals + 1) : isOwn ? process.env[name] : undefined;
    if (name === '' || text.includes('\0')) {
      throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is not a variable`, { hint: 'write NAME=VALUE' });
    }
    if (value !== undefined) variables.set(name, value);
  }
  return [...variables].map(([name, value]) => `${name}=${value}`);
}
