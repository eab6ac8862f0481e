import { UsageError } from '../../errors.js';
import type { ContainerRecord, HeldLock } from '../../metadata/index.js';
import type { RunInput } from '../../runtime/index.js';
import { ifFound, orCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import type { RestoreDeps } from '../layers/index.js';
import {
  findContainer,
  imageOfContainer,
  containerRunningError,
  readImageConfig,
  removeIdle,
  settleRuns,
} from '../store/index.js';
import { createContainer } from './containers.js';

export interface RunRequest extends Omit<RunInput, 'id' | 'rootfs' | 'execution'> {
  /** A container (name, ID, unique prefix), else an image from which to create one. */
  readonly target: string;
  /** Name of the new container. */
  readonly name: string | undefined;
  /** Removes the new container, however the command ends; a UsageError if TARGET is a container. */
  readonly remove: boolean;
}

type RunDeps = RestoreDeps & Pick<OperationDeps, 'runtime'>;

/**
 * Runs a command in a container, or in a new one of an image, and resolves with its exit code. Only one command can run
 * in a container at a time. A new container is removed if its command could not be started. Throws NotFoundError,
 * AlreadyExistsError (a command is running, or the name is taken), UsageError, ContainerStartError, CommandError (no
 * runtime), StoreError, SyscallError, AbortError.
 */
export async function runInContainer(deps: RunDeps, request: RunRequest): Promise<number> {
  const { metadata, snapshots, runtime } = deps;
  const store = await metadata.lock('store', { mode: 'shared', signal: request.signal });
  try {
    await settleRuns(deps);
  } finally {
    store.release();
  }
  const { record, running, isNew } = await begin(deps, request);
  let exitCode: number | undefined;
  try {
    // It may have been removed before this process got the lock.
    await findContainer(deps, record.id);
    await snapshots.unlockContainer(record.id);
    const config = await readImageConfig(deps, await imageOfContainer(deps, record));
    exitCode = await runtime.run({
      ...request,
      id: record.id,
      rootfs: snapshots.containerPath(record.id),
      execution: config.config ?? {},
    });
    return exitCode;
  } finally {
    try {
      await cleanUp(deps, record, { remove: isNew && (request.remove || exitCode === undefined) });
    } finally {
      running.release();
    }
  }
}

/** Cleans up after a run. A failure is only a note, because the caller needs the command's result. */
async function cleanUp(
  { metadata, snapshots, runtime, progress }: RunDeps,
  { id, name }: ContainerRecord,
  { remove }: { readonly remove: boolean },
): Promise<void> {
  try {
    await snapshots.unlockContainer(id);
    await runtime.settle(id, snapshots.containerPath(id));
    // Removes it even after an interruption.
    if (remove) await removeIdle({ metadata, snapshots }, id, new AbortController().signal);
  } catch (error) {
    progress.note(`container ${name} could not be cleaned up: ${(error as Error).message}`);
  }
}

async function begin(
  deps: RunDeps,
  request: RunRequest,
): Promise<{ record: ContainerRecord; running: HeldLock; isNew: boolean }> {
  const { target, name, remove, signal } = request;
  const existing = await ifFound(findContainer(deps, target));
  if (existing !== undefined) {
    if (name !== undefined) {
      throw new UsageError(`${target} is a container, and has a name`, { hint: 'leave out --name' });
    }
    if (remove) {
      throw new UsageError(`${target} is a container that existed before, and --rm removes only what this run makes`, {
        hint: `leave out --rm, or give an image; "imgtool rm ${target}" removes the container`,
      });
    }
    const running = await deps.metadata.tryLock(`running-${existing.id}`, 'exclusive');
    if (running === undefined) throw containerRunningError(existing);
    await orCloseAll(() => deps.runtime.begin(existing.id, { remove: false }), [() => running.release()]);
    return { record: existing, running, isNew: false };
  }
  let running: HeldLock | undefined;
  const create = (): Promise<ContainerRecord> =>
    createContainer(deps, {
      image: target,
      name,
      signal,
      onId: async (id) => {
        running = await deps.metadata.lock(`running-${id}`, { mode: 'exclusive', signal });
        await deps.runtime.begin(id, { remove });
      },
    });
  const record = await orCloseAll(create, [() => running?.release()]);
  return { record, running: running!, isNew: true };
}
