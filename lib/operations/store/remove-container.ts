import { AlreadyExistsError } from '../../errors.js';
import { delay } from '../../util/index.js';
import type { ContainerRecord, HeldLock } from '../../metadata/index.js';
import type { OperationDeps } from '../deps.js';
import { findContainer } from './find-container.js';

type RemoveDeps = Pick<OperationDeps, 'metadata' | 'snapshots'> & Partial<Pick<OperationDeps, 'runtime'>>;

/** How long a killed run may take to clean up: the number of checks and the time between them. */
const KILL_LOOKS = 100;
const KILL_LOOK_MS = 100;

/**
 * Removes a container and its files. `force` kills a command that runs in it; otherwise that is an AlreadyExistsError.
 * Throws NotFoundError, UsageError and SubvolumeError (a file in it is in use) before changing anything.
 */
export async function removeContainer(
  deps: RemoveDeps,
  { container, force, signal }: { readonly container: string; readonly force: boolean; readonly signal: AbortSignal },
): Promise<ContainerRecord> {
  const record = await findContainer(deps, container);
  deps.metadata.makeRoom();
  const running = await lockIdle(deps, record, { force, signal });
  try {
    // A run with `--rm` may have removed it.
    if ((await deps.metadata.containers.get(record.id)) === undefined) return record;
    await deps.snapshots.checkContainerUnused(record.id);
    await deps.snapshots.unlockContainer(record.id);
    await deps.runtime?.settle(record.id, deps.snapshots.containerPath(record.id));
    await removeIdle(deps, record.id, signal);
    return record;
  } finally {
    running.release();
  }
}

/** Takes the lock of runs in the container, so that nothing runs in it. Throws AlreadyExistsError, AbortError. */
async function lockIdle(
  { metadata, runtime }: RemoveDeps,
  record: ContainerRecord,
  { force, signal }: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<HeldLock> {
  for (let look = 0; ; look += 1) {
    const lock = await metadata.tryLock(`running-${record.id}`, 'exclusive');
    if (lock !== undefined) return lock;
    if (!force || runtime === undefined || look === KILL_LOOKS) throw containerRunningError(record);
    // Kills repeatedly, because a starting run may not have a process yet.
    await runtime.kill(record.id);
    await delay(KILL_LOOK_MS, signal);
  }
}

/** Removes the container `id`. Requires the lock of its runs. Throws AbortError. */
export async function removeIdle(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots'>,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const store = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    await removeInLockedStore(deps, id, signal);
  } finally {
    store.release();
  }
}

/** Like `removeIdle`, for callers that hold the store's lock, which would otherwise deadlock. */
export async function removeInLockedStore(
  { metadata, snapshots }: Pick<OperationDeps, 'metadata' | 'snapshots'>,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const lock = await metadata.lock(`container-${id}`, { mode: 'exclusive', signal });
  try {
    await snapshots.checkContainerUnused(id);
    // Deletes the record first, so that a crash leaves no visible container without files.
    await metadata.containers.delete(id);
    await snapshots.removeContainer(id);
  } finally {
    lock.release();
  }
}

/** The error for a container in which another process is running a command. */
export function containerRunningError({ name }: Pick<ContainerRecord, 'name'>): AlreadyExistsError {
  return new AlreadyExistsError(`a command runs in container ${name}`, {
    kind: 'container',
    subject: name,
    hint: 'end it first, or wait until it has ended',
  });
}
