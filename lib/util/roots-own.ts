import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** What the kernel follows at most. */
const MAX_LINKS = 40;

/**
 * Whether this process may run programs that the file names: for root only when root alone can change what is at the path.
 * So the file, each directory on the way and each link must be root's, and none may be writable for others; a directory such
 * as /tmp, where users cannot replace each other's files, will do. False when there is no such file.
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

/** Whether the mode of a file of root's lets users other than root write. */
export function othersCanWrite({ mode, gid }: Pick<Stats, 'mode' | 'gid'>): boolean {
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== 0);
}
