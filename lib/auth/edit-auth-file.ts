import { chown, open, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AuthenticationError, UsageError } from '../errors.js';
import { delay, makeDirectory, removeUnfinished, writeFileAtomic } from '../util/index.js';
import { readAuthFile } from './auth-file.js';
import { objectMembers, objectText } from './json-members.js';

const LOCK_PATIENCE_MS = 10_000;

/**
 * Changes the `auths` of a credentials file as a whole, mode 0600; everything else in it stays as it is written. `change`
 * gets the entries (JSON texts by key) and says whether it changed them; it may run only while no other imgtool edits the
 * directory. Throws UsageError, AuthenticationError, AbortError.
 */
export async function editAuthFile(
  path: string,
  signal: AbortSignal,
  change: (entries: Map<string, string>) => boolean,
): Promise<void> {
  try {
    const target = await realpath(path).catch(() => path);
    makeDirectory(dirname(target));
    const unlock = await lockDirectory(dirname(target), signal);
    try {
      // A login that was killed has left the credentials there.
      await removeUnfinished(target);
      const file = await readAuthFile({ path: target, explicit: false });
      const members = objectMembers(file.text ?? '{}');
      const entries = objectMembers(members.get('auths') ?? '{}');
      if (!change(entries)) return;
      members.set('auths', objectText(entries, '\t'));
      const before = await stat(target).catch(() => undefined);
      await writeFileAtomic(target, `${objectText(members)}\n`);
      // An administrator's login must not take the file away from its user.
      if (before !== undefined && before.uid !== process.geteuid?.()) await chown(target, before.uid, before.gid);
    } finally {
      await unlock();
    }
  } catch (cause) {
    if (cause instanceof AuthenticationError || (cause as Error).name === 'AbortError') throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new UsageError(`cannot write the credentials file ${path} (${code ?? message})`, { cause });
  }
}

/** Locks the directory itself: nothing is left behind. */
async function lockDirectory(path: string, signal: AbortSignal): Promise<() => Promise<void>> {
  const { tryFlock } = await import('../sys/index.js');
  const directory = await open(path, 'r');
  const deadline = Date.now() + LOCK_PATIENCE_MS;
  try {
    while (!tryFlock(directory.fd, 'exclusive')) {
      if (Date.now() > deadline) throw Object.assign(new Error('locked by another program'), { code: 'EAGAIN' });
      await delay(50, signal);
    }
  } catch (error) {
    await directory.close();
    throw error;
  }
  return () => directory.close();
}
