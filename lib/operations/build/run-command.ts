import { randomBytes } from 'node:crypto';
import { BuildStepError, ContainerStartError } from '../../errors.js';
import type { ContainerRuntime, RunInput } from '../../runtime/index.js';
import { type Close, onAbort, thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import type { RunInstruction } from '../../dockerfile/index.js';
import type { LoggedStep } from './step-log.js';
import type { BuildRequest, StepTree } from './types.js';

/** Free space in bytes below which a store counts as full. */
const FULL_BYTES = 2 ** 20;

/** BuildKit's name, so that files that contain the host name are reproducible. */
const HOST_NAME = 'buildkitsandbox';

/** A command to run on the files of a step. */
interface CommandToRun {
  readonly instruction: RunInstruction;
  readonly below: StepTree | undefined;
  /** Work key for the resulting files. */
  readonly workKey: string;
  readonly argv: readonly string[];
  /** `K=V` entries. */
  readonly env: readonly string[];
  readonly workdir: string;
  readonly user: string;
  readonly network: RunInput['network'];
  readonly mounts: Pick<RunInput, 'volumes' | 'memoryFiles' | 'tmpfs'>;
}

type RunDeps = Pick<OperationDeps, 'metadata' | 'snapshots' | 'runtime'>;

/**
 * Runs a command in a container on `below` and freezes its files as the work `workKey`. `onFrozen` turns them into a
 * step while the container still exists, because only then can btrfs compare the two. Removes the container unless
 * `onFailure`, called with its ID, resolves with true. Throws BuildStepError, ContainerStartError, AbortError.
 */
export async function runCommand<T>(
  deps: RunDeps,
  command: CommandToRun,
  {
    request,
    log,
    onFrozen,
    onFailure,
  }: {
    readonly request: BuildRequest;
    readonly log: LoggedStep;
    /** `bytes`: data written by the command, as far as it is on disk. */
    readonly onFrozen: (bytes: number) => Promise<T>;
    readonly onFailure: ((container: string) => Promise<boolean>) | undefined;
  },
): Promise<T> {
  const { metadata, snapshots, runtime } = deps;
  const { signal } = request;
  const id = randomBytes(32).toString('hex');
  const closes: Close[] = [];
  let kept = false;
  return thenCloseAll(async () => {
    // These locks stop other processes from removing it as a leftover.
    for (const name of [`container-${id}`, `running-${id}`]) {
      const lock = await metadata.lock(name, { mode: 'exclusive', signal });
      closes.unshift(() => lock.release());
    }
    closes.unshift(() => endRun({ snapshots, runtime }, id, kept));
    try {
      await runtime.begin(id, { remove: true });
      const rootfs = await snapshots.createContainer(id, command.below?.subvolume);
      const status = await runtime.run(inputOf(command, { request, log, id, rootfs })).catch((error: unknown) => {
        throw error instanceof ContainerStartError ? startError(command, error) : error;
      });
      signal.throwIfAborted();
      if (status !== 0) throw failedError(command, { status, output: log.lines, hint: await fullHint(snapshots) });
      await snapshots.unlockContainer(id);
      await snapshots.freeze(command.workKey, id);
      return await onFrozen(await snapshots.writtenBytes(id));
    } catch (error) {
      signal.throwIfAborted();
      kept = error instanceof BuildStepError && (await onFailure?.(id)) === true;
      throw error;
    }
  }, closes);
}

/** If this fails, the next process that sweeps the store removes the container. */
async function endRun(
  { snapshots, runtime }: { readonly snapshots: OperationDeps['snapshots']; readonly runtime: ContainerRuntime },
  id: string,
  kept: boolean,
): Promise<void> {
  await snapshots.unlockContainer(id);
  await runtime.settle(id, snapshots.containerPath(id));
  if (!kept) await snapshots.removeContainer(id);
}

function inputOf(
  command: CommandToRun,
  {
    request,
    log,
    id,
    rootfs,
  }: { readonly request: BuildRequest; readonly log: LoggedStep; readonly id: string; readonly rootfs: string },
): RunInput {
  const { argv, env, workdir, user, network, mounts } = command;
  const { signal, addHosts, processLimits, shmSize, runtime } = request;
  return {
    ...{ id, rootfs, execution: {}, entrypoint: [], command: argv, env, workdir, user, network },
    ...{
      ...mounts,
      addHosts,
      processLimits,
      shmSize,
      limits: {},
      capAdd: [],
      capDrop: [],
      hostname: HOST_NAME,
      program: runtime,
      terminal: false,
      signal,
    },
    ...{ readOnly: false, privileged: false, init: false },
    onOutput: (chunk) => log.output(chunk),
    takeSignals: (handler) => {
      // An interrupted build discards its command: one SIGTERM, then a kill.
      const end = (): void => (['SIGTERM', 'SIGTERM', 'SIGTERM'] as const).forEach(handler);
      return onAbort(signal, end);
    },
  };
}

/** A hint if a command may have failed because the store is full. */
async function fullHint(snapshots: OperationDeps['snapshots']): Promise<string | undefined> {
  const { dataFree } = await snapshots.space();
  return dataFree > FULL_BYTES ? undefined : 'the store is full: free space with imgtool store gc or imgtool rmi';
}

function failedError(
  { instruction }: CommandToRun,
  {
    status,
    output,
    hint,
  }: { readonly status: number; readonly output: readonly string[]; readonly hint: string | undefined },
): BuildStepError {
  const { file, start, text } = instruction;
  const what = status === 137 ? 'was killed (exit code 137): by the kernel for want of memory?' : `exit code ${status}`;
  return new BuildStepError(status === 137 ? `the command ${what}` : `the command failed with ${what}`, {
    file,
    line: start.line,
    text,
    ...{ status, output, hint },
  });
}

/** A command that is missing or not executable is a mistake in the Dockerfile; other errors are faults of this machine. */
function startError({ instruction, argv }: CommandToRun, error: ContainerStartError): Error {
  if (error.exitCode === 125) return error;
  const { file, start, text } = instruction;
  return new BuildStepError(error.message, {
    ...{ file, line: start.line, text, status: error.exitCode, output: [], cause: error },
    hint:
      error.exitCode === 127 && argv[0] === '/bin/sh'
        ? 'the image has no shell: use the exec form, RUN ["program", "argument"]'
        : error.hint,
  });
}
