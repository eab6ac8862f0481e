import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants as files, existsSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { basename, join } from 'node:path';
import { CommandError, ContainerStartError } from '../errors.js';
import { runProcess, SYSTEM_PATH } from '../util/index.js';
import { cgroupName, killLeftProcesses } from './end-container.js';
import type { TakeSignals } from './types.js';
import { resizeTerminal } from './window-size.js';

/** The use of control groups. */
interface CgroupChoice {
  /** The container gets its own control group. */
  readonly use: boolean;
}

const CGROUPS = '/sys/fs/cgroup';
const UNIFIED = `${CGROUPS}/unified`;
const MOUNT_CGROUPS = `{ [ -d ${CGROUPS} ] || mount -t sysfs sysfs /sys; mount -t cgroup2 cgroup2 ${CGROUPS}; } 2>/dev/null || :`;

/** A file in the directory of a run, created just before its runtime starts. */
const BEGUN = 'begun';

/** Removes the empty control groups named `$1`. The kernel may take a moment to consider them empty. */
const REMOVE_CGROUPS = `for group in ${CGROUPS}/"$1" ${CGROUPS}/*/"$1"; do
  tries=0; while [ -d "$group" ] && ! rmdir "$group" 2>/dev/null && [ $((tries += 1)) -lt 40 ]; do sleep 0.05; done
done`;

/** The number of interruptions that kill a command; earlier ones are passed on to it. */
const KILL_AFTER = 3;

/** How long an interrupted runtime may take to start the command or to end. Milliseconds. */
const START_GRACE_MS = 1000;

/** The OCI runtime to use: `wanted` (a name or path), else crun or runc. Throws CommandError when none is installed. */
export function findRuntime(wanted: string | undefined): string {
  const names = wanted === undefined ? ['crun', 'runc'] : [wanted];
  for (const name of names) {
    const paths = name.includes('/') ? [name] : SYSTEM_PATH.split(':').map((directory) => join(directory, name));
    const path = paths.find(isExecutable);
    if (path !== undefined) return path;
  }
  throw new CommandError(
    wanted === undefined ? 'no OCI runtime is installed' : `the OCI runtime ${wanted} is not installed`,
    {
      argv: [names[0]!],
      hint: 'install crun or runc, for example: apt-get install crun',
    },
  );
}

/** How long output is read after the command has ended. Milliseconds. */
const OUTPUT_GRACE_MS = 1000;

/** The runtime's program and directory for one container. */
export interface RuntimePlace {
  readonly program: string;
  readonly id: string;
  readonly rootfs: string;
  /** Contains `config.json`; receives the runtime's state. */
  readonly directory: string;
}

/**
 * Runs the container with this process's standard streams or with `onOutput`. Resolves with the command's exit code.
 * Throws ContainerStartError when the command did not start, CommandError when a required program is missing.
 */
export async function runContainer(
  place: RuntimePlace,
  {
    cgroups,
    takeSignals,
    onOutput,
  }: {
    readonly cgroups: CgroupChoice;
    readonly takeSignals: TakeSignals;
    readonly onOutput?: ((chunk: Buffer) => void) | undefined;
  },
): Promise<number> {
  const { directory, id } = place;
  const [pidFile, log, begun] = ['pid', 'log', BEGUN].map((name) => join(directory, name)) as [string, string, string];
  for (const path of [pidFile, log, begun]) rmSync(path, { force: true });
  const [program, ...args] = commandLine(place, cgroups, ['run', '--bundle', directory, '--pid-file', pidFile, id]);
  // In a session of its own, so that terminal signals reach only this process, which passes them on once.
  const child = spawn(program, args, {
    stdio: onOutput === undefined ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { PATH: SYSTEM_PATH, LC_ALL: 'C' },
  });
  if (onOutput !== undefined) for (const stream of [child.stdout, child.stderr]) stream?.on('data', onOutput);
  // A runtime that is still starting the command may ignore signals, or block on a file of the container.
  const endStart = (): void => {
    if (!existsSync(pidFile)) child.kill('SIGKILL');
  };
  let grace: NodeJS.Timeout | undefined;
  let interruptions = 0;
  const giveBack = takeSignals((signal) => {
    if (signal === 'SIGINT' || signal === 'SIGTERM' || signal === 'SIGHUP') interruptions += 1;
    if (signal === 'SIGWINCH' && resizeTerminal(pidFile)) return;
    if (interruptions < KILL_AFTER) {
      child.kill(signal);
      if (interruptions > 0) grace ??= setTimeout(endStart, START_GRACE_MS);
    } else {
      endStart();
      void killLeftProcesses(id);
    }
  });
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', (cause) =>
        reject(
          new CommandError(`cannot run ${program}: ${cause.message}`, {
            argv: [program, ...args],
            hint: 'setpriv and unshare belong to util-linux: apt-get install util-linux',
            cause,
          }),
        ),
      );
      // 'close' comes after all output, but a background process may keep the pipe open.
      child.once('exit', (...ending) => {
        if (onOutput === undefined) resolve(ending);
        else {
          const timer = setTimeout(() => resolve(ending), OUTPUT_GRACE_MS);
          child.once('close', () => {
            clearTimeout(timer);
            resolve(ending);
          });
        }
      });
    });
    // A killed runtime leaves the container behind.
    if (code === null) {
      await deleteContainer(place);
      // It also leaves the terminal in raw mode.
      if (process.stdin.isTTY) spawnSync('stty', ['sane'], { stdio: 'inherit', env: { PATH: SYSTEM_PATH } });
    }
    if (existsSync(pidFile)) return code ?? 128 + constants.signals[signal!];
    if (interruptions > 0) throw new DOMException('interrupted before the command was started', 'AbortError');
    if (!existsSync(begun)) throw noNamespaceError();
    throw await notStartedError(log, signal === null ? undefined : `the runtime was terminated by ${signal}`);
  } finally {
    clearTimeout(grace);
    giveBack();
  }
}

/** Ends a container and removes its state, if anything of it is left. */
export async function deleteContainer(place: RuntimePlace): Promise<void> {
  try {
    await runProcess(commandLine(place, { use: true }, ['delete', '--force', place.id]), {});
  } catch (error) {
    // The runtime has no record of such a container, or the program is missing.
    if (!(error instanceof CommandError)) throw error;
  }
  await killLeftProcesses(place.id);
  await runProcess(inNamespace(REMOVE_CGROUPS, [cgroupName(place.id)])).catch(() => undefined);
}

function commandLine(place: RuntimePlace, cgroups: CgroupChoice, args: readonly string[]): [string, ...string[]] {
  const name = basename(place.program);
  // Makes runc ignore control groups.
  const without = name.startsWith('runc') ? ['--rootless', 'true'] : [];
  return inNamespace('true >"$1"; shift; exec "$@"', [
    join(place.directory, BEGUN),
    place.program,
    ...['--root', join(place.directory, 'state'), '--log', join(place.directory, 'log'), '--log-format', 'text'],
    ...(name.startsWith('crun') ? ['--cgroup-manager', cgroups.use ? 'cgroupfs' : 'disabled'] : []),
    ...(cgroups.use ? [] : without),
    ...args,
  ]);
}

/**
 * Wraps a shell command to run in its own mount namespace with control groups that the runtime supports: crun refuses
 * cgroup v1 with v2 beside it, and runtimes start nothing when no control groups are mounted. Ends with this process.
 */
function inNamespace(command: string, args: readonly string[]): [string, ...string[]] {
  const script = [
    // If this process died before its death signal was set up, the signal will never come.
    `[ "$PPID" = ${process.pid} ] || exit 1`,
    // Its contents belong to this machine too, and crun would leave a directory there.
    ...(existsSync(UNIFIED) ? [`{ umount -l ${UNIFIED} && mount -t tmpfs tmpfs ${UNIFIED}; } 2>/dev/null || :`] : []),
    ...(hasCgroupMount() ? [] : [MOUNT_CGROUPS]),
    command,
  ].join('; ');
  return ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', 'sh', '-euc', script, 'sh', ...args];
}

function hasCgroupMount(): boolean {
  return / - cgroup2? /m.test(readFileSync('/proc/self/mountinfo', 'utf8'));
}

function noNamespaceError(): ContainerStartError {
  return new ContainerStartError('cannot create a mount namespace for the runtime: unshare or setpriv failed', {
    hint: 'this requires root with CAP_SYS_ADMIN, which some containers and sandboxes withhold',
  });
}

/** The error for a container that did not start, with the runtime's message. */
async function notStartedError(log: string, otherwise: string | undefined): Promise<ContainerStartError> {
  const lines = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n');
  // crun writes `TIME: MESSAGE`, runc `time="…" level=error msg="…"`.
  const messages = lines.map(
    (line) => /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1]?.replace(/\\(.)/g, '$1') ?? line.replace(/^\S+Z: /, ''),
  );
  const message = otherwise ?? (messages.at(-1) || 'the runtime gave no reason');
  if (/not found in \$PATH|no such file or directory.*exec|exec.*no such file or directory/i.test(message)) {
    return new ContainerStartError(message.replace(/^.*?(executable file)/, '$1'), { exitCode: 127 });
  }
  if (/exec.*(permission denied|not permitted)|exec format error/i.test(message)) {
    return new ContainerStartError(message, { exitCode: 126 });
  }
  return new ContainerStartError(message);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, files.X_OK);
    return true;
  } catch {
    return false;
  }
}
