import { constants } from 'node:fs';
import type { FileStat } from '../sys/index.js';
import { joinPath, type PlannedEntry } from './pack-plan.js';
import type { PackTree } from './pack-tree.js';

/** A directory in progress: its names, sorted bytewise, and the number already processed. */
interface Frame {
  readonly path: Buffer;
  readonly names: readonly string[];
  next: number;
}

const EMPTY = Buffer.alloc(0);

/**
 * Everything at `top` in layer order, read lazily. An empty `top` means the root itself. Does not enter other file
 * systems and subvolumes. Throws SyscallError.
 */
export function* planTree(tree: PackTree, top: Buffer): Generator<PlannedEntry> {
  const first = tree.stat(EMPTY, top);
  yield { action: 'entry', parent: EMPTY, name: top, changed: true, stat: first };
  const frames: Frame[] = [];
  if (isDirectory(first)) frames.push(frameOf(tree, top));
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    const text = frame.names[frame.next++];
    if (text === undefined) {
      frames.pop();
      continue;
    }
    const name = Buffer.from(text, 'latin1');
    const stat = tree.stat(frame.path, name);
    yield { action: 'entry', parent: frame.path, name, changed: true, stat };
    if (isDirectory(stat) && isSameDevice(stat, first)) {
      frames.push(frameOf(tree, joinPath(frame.path, name)));
    }
  }
}

function frameOf(tree: PackTree, path: Buffer): Frame {
  return { path, names: tree.names(path).sort(), next: 0 };
}

function isDirectory(stat: FileStat): boolean {
  return (stat.mode & constants.S_IFMT) === constants.S_IFDIR;
}

function isSameDevice(a: FileStat, b: FileStat): boolean {
  return a.devMajor === b.devMajor && a.devMinor === b.devMinor;
}
