import { UsageError } from '../errors.js';
import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** The kernel's limit. */
const MAX_LINKS = 40;

/**
 * True when this process may run programs that are named in the file. When running as root, only root may be able to
 * change the file: it, each parent directory and each link must belong to root and be writable for no other user,
 * except directories such as /tmp, in which users cannot replace each other's files. False when the file does not
 * exist.
 */
export function mayNamePrograms(path: string): boolean {
  if (process.geteuid!() !== 0) return true;
  try {
    return rootAloneChanges(path);
  } catch {
    return false;
  }
}

function rootAloneChanges(path: string): boolean {
  let at = '/';
  let left = names(resolve(path));
  let stats = lstatSync(at);
  for (let links = 0; ;) {
    if (stats.uid !== 0 || othersCanReplace(stats)) return false;
    const [name, ...rest] = left;
    if (name === undefined) return stats.isFile();
    const next = name === '..' ? dirname(at) : join(at, name);
    stats = lstatSync(next);
    left = rest;
    if (!stats.isSymbolicLink()) at = next;
    else {
      if (stats.uid !== 0 || ++links > MAX_LINKS) return false;
      const target = readlinkSync(next);
      if (target.startsWith('/')) at = '/';
      left = [...names(target), ...rest];
      stats = lstatSync(at);
    }
  }
}

function names(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function othersCanReplace(stats: Stats): boolean {
  return othersCanWrite(stats) && !(stats.isDirectory() && (stats.mode & 0o1000) !== 0);
}

/** True when the mode of a file of root permits other users to write. */
export function othersCanWrite({ mode, gid }: Pick<Stats, 'mode' | 'gid'>): boolean {
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== 0);
}

/** The error for a file that names a program and that users other than root can change. */
export function programNamedError(setting: string, file: string): UsageError {
  return new UsageError(`${setting} in ${file} names a program, and users other than root can change that file`, {
    hint: 'make the file and its parent directories writable only for root, for example in /etc/imgtool',
  });
}
