import { AlreadyExistsError } from '../../errors.js';
import { delay } from '../../util/index.js';
import type { ContainerRecord, HeldLock } from '../../metadata/index.js';
import type { OperationDeps } from '../deps.js';
import { findContainer } from './find-container.js';

type RemoveDeps = Pick<OperationDeps, 'metadata' | 'snapshots'> & Partial<Pick<OperationDeps, 'runtime'>>;

/** How long a run whose command was killed may take to clean up: looks, and the time between two. */
const KILL_LOOKS = 100;
const KILL_LOOK_MS = 100;

/**
 * Removes a container and its files. A command that runs in it is killed with `force`, else that is an AlreadyExistsError.
 * Throws NotFoundError, UsageError, SubvolumeError (something uses a file in it); nothing has changed then.
 */
export async function removeContainer(
  deps: RemoveDeps,
  { container, force, signal }: { readonly container: string; readonly force: boolean; readonly signal: AbortSignal },
): Promise<ContainerRecord> {
  const record = await findContainer(deps, container);
  deps.metadata.makeRoom();
  const running = await lockIdle(deps, record, { force, signal });
  try {
    // Its own run may have been with `--rm`.
    if ((await deps.metadata.containers.get(record.id)) === undefined) return record;
    await deps.snapshots.assertContainerUnused(record.id);
    await deps.snapshots.unlockContainer(record.id);
    await deps.runtime?.settle(record.id, deps.snapshots.containerPath(record.id));
    await removeIdle(deps, record.id, signal);
    return record;
  } finally {
    running.release();
  }
}

/** The lock of a run in the container, for nothing to run in it. Throws AlreadyExistsError, AbortError. */
async function lockIdle(
  { metadata, runtime }: RemoveDeps,
  record: ContainerRecord,
  { force, signal }: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<HeldLock> {
  for (let look = 0; ; look += 1) {
    const lock = await metadata.tryLock(`running-${record.id}`, 'exclusive');
    if (lock !== undefined) return lock;
    if (!force || runtime === undefined || look === KILL_LOOKS) throw isRunning(record);
    // Again each time: a run that is only starting has nothing to kill yet.
    await runtime.kill(record.id);
    await delay(KILL_LOOK_MS, signal);
  }
}

/** Removes the container `id`, in which nothing runs: call it with the lock of its run. Throws AbortError. */
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

/** As `removeIdle`, for who holds the store's lock: taken once more it would wait for itself. */
export async function removeInLockedStore(
  { metadata, snapshots }: Pick<OperationDeps, 'metadata' | 'snapshots'>,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const lock = await metadata.lock(`container-${id}`, { mode: 'exclusive', signal });
  try {
    await snapshots.assertContainerUnused(id);
    // The record goes first: after a crash nothing visible is half there.
    await metadata.containers.delete(id);
    await snapshots.removeContainer(id);
  } finally {
    lock.release();
  }
}

/** The error for a container that another process runs a command in. */
export function isRunning({ name }: Pick<ContainerRecord, 'name'>): AlreadyExistsError {
  return new AlreadyExistsError(`a command runs in container ${name}`, {
    kind: 'container',
    subject: name,
    hint: 'end it first, or wait until it has ended',
  });
}
