import { AlreadyExistsError } from '../../errors.js';
import type { ContainerRecord } from '../../metadata/index.js';
import type { OperationDeps } from '../deps.js';
import { findContainer } from './find-container.js';

type RemoveDeps = Pick<OperationDeps, 'metadata' | 'snapshots'> & Partial<Pick<OperationDeps, 'runtime'>>;

/**
 * Removes a container and its files. Throws NotFoundError, AlreadyExistsError (a command runs in it), UsageError,
 * SubvolumeError (something uses a file in it); nothing has changed then.
 */
export async function removeContainer(
  deps: RemoveDeps,
  { container, signal }: { readonly container: string; readonly signal: AbortSignal },
): Promise<ContainerRecord> {
  const record = await findContainer(deps, container);
  deps.metadata.makeRoom();
  const running = await deps.metadata.tryLock(`running-${record.id}`, 'exclusive');
  if (running === undefined) throw containerRunningError(record);
  try {
    await deps.snapshots.checkContainerUnused(record.id);
    await deps.snapshots.unlockContainer(record.id);
    await deps.runtime?.settle(record.id, deps.snapshots.containerPath(record.id));
    await removeIdle(deps, record.id, signal);
    return record;
  } finally {
    running.release();
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
    await snapshots.checkContainerUnused(id);
    // The record goes first: after a crash nothing visible is half there.
    await metadata.containers.delete(id);
    await snapshots.removeContainer(id);
  } finally {
    lock.release();
  }
}

/** The error for a container that another process runs a command in. */
export function containerRunningError({ name }: Pick<ContainerRecord, 'name'>): AlreadyExistsError {
  return new AlreadyExistsError(`a command runs in container ${name}`, {
    kind: 'container',
    subject: name,
    hint: 'end it first, or wait until it has ended',
  });
}
