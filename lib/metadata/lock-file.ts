import { closeSync, constants, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidReferenceError, isDiskFull, StoreError, systemErrorName } from '../errors.js';
import { lockWithoutFile } from './lock-without-file.js';
import type { HeldLock } from './types.js';

const NAME = /^[a-z0-9][a-z0-9._-]{0,199}$/;
/** Files of locks that every command takes. They are kept, so that they can be taken on a full disk too. */
const LASTING: ReadonlySet<string> = new Set(['store', 'image-names', 'container-names']);
const FIRST_WAIT_MS = 5;
const LONGEST_WAIT_MS = 100;

type Mode = 'shared' | 'exclusive';

/** Takes the lock `name` in `directory`; waits until it is free. Throws AbortError, StoreError. */
export async function acquireLock(
  directory: string,
  name: string,
  options: { readonly mode: Mode; readonly signal: AbortSignal; readonly onWait?: () => void },
): Promise<HeldLock> {
  options.signal.throwIfAborted();
  let waitMs = FIRST_WAIT_MS;
  for (;;) {
    const lock = await tryAcquireLock(directory, name, options.mode);
    if (lock !== undefined) {
      if (!options.signal.aborted) return lock;
      lock.release();
      options.signal.throwIfAborted();
    }
    if (waitMs === FIRST_WAIT_MS) options.onWait?.();
    await sleep(waitMs, undefined, { signal: options.signal });
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }
}

/** Takes the lock `name` in `directory`, or resolves with undefined when it is held. */
export async function tryAcquireLock(directory: string, name: string, mode: Mode): Promise<HeldLock | undefined> {
  if (!NAME.test(name))
    throw new InvalidReferenceError(`${JSON.stringify(name.slice(0, 200))} is not the name of a lock`, { input: name });
  const { tryFlock } = await import('../sys/index.js');
  const path = join(directory, name);
  for (;;) {
    const fd = openLockFile(path);
    if (fd === 'read-only') return FREE;
    if (fd === 'full') return lockWithoutFile(directory, name);
    let held = false;
    try {
      if (!tryFlock(fd, mode)) return undefined;
      held = isStillNamed(fd, path);
    } finally {
      if (!held) closeSync(fd);
    }
    if (held) return heldLock(fd, path, mode);
  }
}

/** Used when the file cannot be created: on a read-only file system nothing changes, so no lock is needed. */
const FREE: HeldLock = { release: () => undefined };

function openLockFile(path: string): number | 'read-only' | 'full' {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    const code = systemErrorName(error);
    if (code === 'EROFS') return 'read-only';
    if (isDiskFull(error)) return 'full';
    throw new StoreError(`the lock ${path} cannot be opened: ${code ?? String(error)}`, {
      path,
      cause: error,
      hint: code === 'EACCES' ? 'the store belongs to root: run this as root' : undefined,
    });
  }
}

/** The last exclusive holder removes the file, so a file opened earlier may no longer be the lock. */
function isStillNamed(fd: number, path: string): boolean {
  const named = statSync(path, { bigint: true, throwIfNoEntry: false });
  return named !== undefined && named.ino === fstatSync(fd, { bigint: true }).ino;
}

function heldLock(fd: number, path: string, mode: Mode): HeldLock {
  let released = false;
  return {
    release() {
      if (released) return;
      released = true;
      try {
        if (mode === 'exclusive' && !LASTING.has(basename(path))) rmSync(path, { force: true });
      } catch {
        // The disk has turned read-only: the file stays as after a kill, and is free all the same.
      }
      closeSync(fd);
    },
  };
}
