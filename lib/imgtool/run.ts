import { readFile } from 'node:fs/promises';
import { isatty } from 'node:tty';
import { UsageError } from '../errors.js';
import type { RunRequest } from '../operations/index.js';
import { checkOptions, checkText, checkTexts, type OptionKinds } from './check-options.js';
import { signalOf, STOPPABLE, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { FETCHING, fetchTarget, type Fetching } from './fetch-target.js';
import {
  parseAddHost,
  parseEntrypoint,
  parseMemory,
  parseMount,
  parseTmpfs,
  parseUlimit,
  parseVolume,
  readEnvFiles,
} from './run-arguments.js';

export interface RunOptions extends Stoppable, Fetching {
  /** Removes the container when the command ends. */
  readonly rm?: boolean | undefined;
  /** Name of the container created from an image. */
  readonly name?: string | undefined;
  /** `NAME=value`, or `NAME` for its value in the environment. */
  readonly env?: readonly string[] | undefined;
  /** Files with such lines; `env` overrides them. */
  readonly envFiles?: readonly string[] | undefined;
  readonly workdir?: string | undefined;
  /** `USER[:GROUP]`, names or numbers. */
  readonly user?: string | undefined;
  /** `LOCAL-PATH:/CONTAINER-PATH`, with `:ro` for read-only. */
  readonly volumes?: readonly string[] | undefined;
  /** `type=bind,source=PATH,target=/PATH[,readonly]` or `type=tmpfs,target=/PATH[,tmpfs-size=64m]`. */
  readonly mounts?: readonly string[] | undefined;
  /** `/PATH[:size=64m,mode=1777]`: in-memory file systems. */
  readonly tmpfs?: readonly string[] | undefined;
  /** Makes the container's own files read-only. */
  readonly readOnly?: boolean | undefined;
  readonly hostname?: string | undefined;
  /** `NAME:ADDRESS` for /etc/hosts. */
  readonly addHosts?: readonly string[] | undefined;
  /** Capabilities, with or without `CAP_`, or `ALL`. */
  readonly capAdd?: readonly string[] | undefined;
  readonly capDrop?: readonly string[] | undefined;
  /** Grants all capabilities and devices and disables seccomp: the host is not protected. */
  readonly privileged?: boolean | undefined;
  /** Bytes, or text such as `512m` (units are powers of 1024). Default: no limit. */
  readonly memory?: number | string | undefined;
  /** Maximum number of processes and threads. Default: no limit. */
  readonly pidsLimit?: number | undefined;
  /** Number of CPUs, such as 1.5. Default: no limit. */
  readonly cpus?: number | undefined;
  /** `NAME=SOFT[:HARD]` of setrlimit(2): `nofile=1024`. */
  readonly ulimits?: readonly string[] | undefined;
  /** Runs the command under a small init that forwards signals and reaps processes. */
  readonly init?: boolean | undefined;
  /** Default: `host`, this machine's network. */
  readonly network?: 'host' | 'none' | undefined;
  /** Program that replaces the image's entry point, or a JSON list of words; empty for none. */
  readonly entrypoint?: string | undefined;
  /** `seccomp=FILE` or `seccomp=unconfined`. Default: Docker's filter. */
  readonly securityOpt?: string | undefined;
  /** Name or path of the OCI runtime. Default: crun or runc. */
  readonly runtime?: string | undefined;
  /** Forwards signals of this process to the command; see `TakeSignals`. Default: none. */
  readonly takeSignals?: RunRequest['takeSignals'] | undefined;
}

const RUN: OptionKinds<RunOptions> = {
  ...{ ...STOPPABLE, ...FETCHING, rm: 'flag', name: 'text', env: 'texts', envFiles: 'texts', workdir: 'text' },
  ...{ user: 'text', volumes: 'texts', mounts: 'texts', tmpfs: 'texts', readOnly: 'flag', hostname: 'name' },
  ...{ addHosts: 'texts', capAdd: 'texts', capDrop: 'texts', privileged: 'flag', memory: 'any', pidsLimit: 'count' },
  ...{ cpus: 'any', ulimits: 'texts', init: 'flag', network: ['host', 'none'], entrypoint: 'text' },
  ...{ securityOpt: 'text', runtime: 'text', takeSignals: 'function' },
};

/** Resolves with the command's exit code. */
export async function runCommand(
  drivers: Drivers,
  target: string,
  command: readonly string[],
  given: RunOptions,
): Promise<number> {
  checkText('run', 'the container or image', target);
  checkTexts('run', 'the command', command);
  const options = checkOptions('run', given, RUN);
  const settings = settingsOf(options);
  const seccomp = await readSeccomp(options.securityOpt);
  const { runInContainer } = await import('../operations/containers/index.js');
  await fetchTarget(drivers, target, options);
  return runInContainer(await drivers.local(), {
    ...{ ...settings, target, command, name: options.name, remove: options.rm ?? false, seccomp },
    terminal: isatty(0) && isatty(1),
    takeSignals: options.takeSignals ?? (() => () => undefined),
    signal: signalOf(options),
  });
}

type RunSettings = Omit<
  RunRequest,
  'target' | 'command' | 'name' | 'remove' | 'seccomp' | 'terminal' | 'takeSignals' | 'bootId' | 'signal'
>;

/** Parses the options that do not need the store. Throws UsageError. */
function settingsOf(options: RunOptions): RunSettings {
  const mounts = (options.mounts ?? []).map(parseMount);
  const { hostname } = options;
  if (hostname !== undefined && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/.test(hostname))
    throw new UsageError(`${JSON.stringify(hostname.slice(0, 100))} is no host name`, {
      hint: 'use letters, digits, . and -',
    });
  return {
    entrypoint: parseEntrypoint(options.entrypoint),
    env: [...readEnvFiles(options.envFiles ?? []), ...(options.env ?? [])],
    workdir: options.workdir,
    user: options.user,
    volumes: [
      ...(options.volumes ?? []).map(parseVolume),
      ...mounts.flatMap((mount) => ('volume' in mount ? [mount.volume] : [])),
    ],
    tmpfs: [
      ...(options.tmpfs ?? []).map(parseTmpfs),
      ...mounts.flatMap((mount) => ('tmpfs' in mount ? [mount.tmpfs] : [])),
    ],
    readOnly: options.readOnly ?? false,
    hostname,
    addHosts: (options.addHosts ?? []).map(parseAddHost),
    capAdd: options.capAdd ?? [],
    capDrop: options.capDrop ?? [],
    privileged: options.privileged ?? false,
    limits: {
      memory: options.memory === undefined ? undefined : parseMemory(options.memory),
      pids: options.pidsLimit,
      cpus: checkCpus(options.cpus),
    },
    processLimits: (options.ulimits ?? []).map(parseUlimit),
    init: options.init ?? false,
    network: options.network ?? 'host',
    program: options.runtime,
  };
}

function checkCpus(cpus: number | undefined): number | undefined {
  if (cpus === undefined || (Number.isFinite(cpus) && cpus >= 0.01)) return cpus;
  throw new UsageError('run: the option cpus is not a number of at least 0.01');
}

async function readSeccomp(option: string | undefined): Promise<RunRequest['seccomp']> {
  if (option === undefined) return undefined;
  const value = /^seccomp=(.+)$/.exec(option)?.[1];
  if (value === undefined) {
    throw new UsageError(`--security-opt ${JSON.stringify(option.slice(0, 200))} is not known`, {
      hint: 'write seccomp=FILE or seccomp=unconfined',
    });
  }
  if (value === 'unconfined') return value;
  if (value === 'builtin') return undefined;
  try {
    return { profile: await readFile(value, 'utf8') };
  } catch (cause) {
    throw new UsageError(`the seccomp profile ${value} cannot be read: ${(cause as Error).message}`, {
      cause,
      hint: 'check the path; seccomp=unconfined runs without a filter',
    });
  }
}
