import { chown, open, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AuthenticationError, UsageError } from '../errors.js';
import { delay, makeDirectory, removeUnfinished, writeFileAtomic } from '../util/index.js';
import { readAuthFile } from './auth-file.js';
import { objectMembers, objectText } from './json-members.js';

const LOCK_PATIENCE_MS = 10_000;

/**
 * Replaces the `auths` of a credentials file atomically, with mode 0600; keeps all other text unchanged. `change` edits
 * the entries (JSON texts by key) and returns true when it changed them. It runs while the directory is locked against
 * other imgtool processes. Throws UsageError, AuthenticationError, AbortError.
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
      // A killed login may have left credentials in it.
      await removeUnfinished(target);
      const file = await readAuthFile({ path: target, explicit: false });
      const members = objectMembers(file.text ?? '{}');
      const entries = objectMembers(members.get('auths') ?? '{}');
      if (!change(entries)) return;
      members.set('auths', objectText(entries, '\t'));
      const before = await stat(target).catch(() => undefined);
      await writeFileAtomic(target, `${objectText(members)}\n`);
      // An administrator's login must not change the owner of the file.
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

/** Locks the directory itself, which leaves no lock file behind. */
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
