/** Random edits of a small tree, for comparing ways to find what they changed. Knows no snapshots. */
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { removeTree } from '../../lib/rootfs/index.js';
import {
  AT_FDCWD,
  createSubvolume,
  isErrno,
  mknodAt,
  NO_COPY_ON_WRITE,
  openAt,
  OPEN_DIRECTORY,
  removeXattr,
  RENAME_EXCHANGE,
  renameAt,
  setInodeFlags,
  setSubvolumeReadOnly,
  setTimesAt,
  setXattr,
} from '../../lib/sys/index.js';

/** Numbers below `limit`, the same ones for the same seed (mulberry32). */
export type Random = (limit: number) => number;

export function randomFrom(seed: number): Random {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return Math.floor((((value ^ (value >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** Fills an empty directory: `d0`…`d3` with files `f0`…`f3` and a directory `s` each, hard links and a link. */
export function makeBase(root: string, random: Random): void {
  for (let d = 0; d < 4; d++) {
    fs.mkdirSync(join(root, `d${d}/s/t`), { recursive: true });
    for (let f = 0; f < 4; f++) fs.writeFileSync(join(root, `d${d}/f${f}`), 'b'.repeat(1 + random(9000)));
    fs.writeFileSync(join(root, `d${d}/s/t/deep`), 'deep');
    fs.linkSync(join(root, `d${d}/f3`), join(root, `d${d}/s/linked`));
    fs.symlinkSync('f0', join(root, `d${d}/symlink`));
    setXattr(join(root, `d${d}/f1`), 'user.x0', Buffer.from([1]));
  }
}

/** Does 1 to 60 random edits below `root`; what cannot be done (a directory into itself) is left out. Returns what was done. */
export function applyEdits(root: string, random: Random): string[] {
  const log: string[] = [];
  const count = 1 + random(60);
  for (let edit = 0; edit < count; edit++) {
    const [name, act] = EDITS[random(EDITS.length)]!;
    const [from, to] = [pick(root, random), join(pickDirectory(root, random), `n${random(6)}`)];
    try {
      act(from, to, random, root);
      log.push(`${name} ${from} ${to}`);
    } catch (error) {
      if ((error as { code?: string; errno?: string }).code === undefined) throw error;
    }
  }
  return log;
}

/**
 * Edits that only btrfs knows: one to four subvolumes, also inside one another, each with edits of its own, and inode flags
 * and properties on some files and directories.
 */
export async function applyBtrfsEdits(root: string, random: Random): Promise<void> {
  for (let count = 1 + random(4); count > 0; count--) {
    const [directory, name] = [pickDirectory(root, random), `v${random(6)}`];
    if (fs.existsSync(join(directory, name))) continue;
    const fd = openAt(AT_FDCWD, directory, OPEN_DIRECTORY);
    try {
      await createSubvolume(fd, name);
      // Nothing changes in a read-only one any more.
      makeBase(join(directory, name), random);
      applyEdits(join(directory, name), random);
      if (random(3) > 0) continue;
      const nested = openAt(fd, name, OPEN_DIRECTORY);
      await setSubvolumeReadOnly(nested, true).finally(() => fs.closeSync(nested));
    } catch (error) {
      if (!isErrno(error, 'EROFS', 'EPERM')) throw error;
    } finally {
      fs.closeSync(fd);
    }
  }
  for (let count = random(12); count > 0; count--) mark(pick(root, random), random);
}

/** chattr +A, +c, +d, +D, +S, +C, +a and +i (linux/fs.h). */
const MARKS = [0x80, 0x4, 0x40, 0x10000, 0x8, 0x800000, 0x20, 0x10];

function mark(path: string, random: Random): void {
  try {
    const fd = openAt(AT_FDCWD, file(path), fs.constants.O_RDONLY);
    try {
      if (random(4) === 0) setXattr(path, 'btrfs.compression', Buffer.from(['zstd', 'lzo', 'none'][random(3)]!));
      else setInodeFlags(fd, MARKS[random(MARKS.length)]!);
    } finally {
      fs.closeSync(fd);
    }
    // Only an empty file takes +C.
    if (random(4) > 0) return;
    const fresh = `${path}-nocow`;
    const created = fs.openSync(fresh, 'wx');
    try {
      setInodeFlags(created, NO_COPY_ON_WRITE);
      fs.writeSync(created, 'n'.repeat(random(9000)));
      fs.linkSync(fresh, `${fresh}-link`);
    } finally {
      fs.closeSync(created);
    }
  } catch (error) {
    if ((error as { code?: string }).code === undefined) throw error;
  }
}

type Edit = (from: string, to: string, random: Random, root: string) => void;

const EDITS: readonly (readonly [string, Edit])[] = [
  ['create', (_from, to, random) => fs.writeFileSync(target(to), 'c'.repeat(random(9000)))],
  ['rewrite', (from) => rewrite(from)],
  ['append', (from) => fs.appendFileSync(file(from), 'more')],
  ['truncate', (from, _to, random) => fs.truncateSync(file(from), random(5000))],
  ['touch', (from, _to, random) => setTimesAt(AT_FDCWD, from, BigInt(random(2 ** 30)) * 1_000_000_007n)],
  ['chmod', (from, _to, random) => fs.chmodSync(file(from), random(0o10000))],
  ['chown', (from, _to, random) => fs.lchownSync(from, random(9), random(9))],
  ['setxattr', (from, _to, random) => setXattr(file(from), `user.x${random(2)}`, Buffer.from([random(3)]))],
  ['removexattr', (from, _to, random) => removeXattr(file(from), `user.x${random(2)}`)],
  ['rename', (from, to) => fs.renameSync(from, to)],
  ['rename over', (from, _to, random, root) => fs.renameSync(from, pick(root, random))],
  ['swap', (from, _to, random, root) => swap(from, pick(root, random))],
  ['link', (from, to) => fs.linkSync(from, to)],
  ['unlink', (from) => fs.unlinkSync(from)],
  ['remove tree', (from) => remove(from)],
  ['recreate', (from) => (fs.unlinkSync(from), fs.writeFileSync(from, 'again'))],
  ['write inside', (from, _to, random) => writeInside(from, random)],
  ['mkdir', (_from, to) => fs.mkdirSync(to)],
  ['recreate directory', (from) => (remove(from), fs.mkdirSync(from))],
  ['to file', (from) => (remove(from), fs.writeFileSync(from, 'now a file'))],
  ['to symlink', (from) => (remove(from), fs.symlinkSync('/var/empty', from))],
  ['fifo', (_from, to) => mknodAt(AT_FDCWD, to, 0o010600)],
  ['socket', (_from, to) => mknodAt(AT_FDCWD, to, 0o140600)],
  ['device', (_from, to, random) => mknodAt(AT_FDCWD, to, 0o020600, random(3), 3)],
  ['sparse', (from, _to, random) => fs.truncateSync(file(from), 100_000 + random(100_000))],
  ['reflink', (from, to) => fs.copyFileSync(file(from), target(to), fs.constants.COPYFILE_FICLONE)],
];

/** Not node's `rmSync`: a link in an immutable directory it takes for a directory, and empties what it leads to. */
function remove(path: string): void {
  const parent = openAt(AT_FDCWD, dirname(path), OPEN_DIRECTORY);
  try {
    if (!removeTree(parent, Buffer.from(basename(path)))) throw Object.assign(new Error('nothing'), { code: 'ENOENT' });
  } finally {
    fs.closeSync(parent);
  }
}

/** `path` when it is a file or directory: what follows links would leave the tree, and opening a fifo would wait. */
function file(path: string): string {
  const stat = fs.lstatSync(path);
  if (!stat.isFile() && !stat.isDirectory()) throw Object.assign(new Error('no file'), { code: 'EINVAL' });
  return path;
}

/** `path` when nothing is there, or a file. */
function target(path: string): string {
  return fs.lstatSync(path, { throwIfNoEntry: false }) === undefined ? path : file(path);
}

function rewrite(path: string): void {
  const { size, mtimeNs } = fs.statSync(file(path), { bigint: true });
  fs.writeFileSync(path, 'r'.repeat(Number(size)));
  setTimesAt(AT_FDCWD, path, mtimeNs);
}

function writeInside(path: string, random: Random): void {
  const fd = fs.openSync(file(path), 'r+');
  try {
    fs.writeSync(fd, 'inside', random(10_000));
  } finally {
    fs.closeSync(fd);
  }
}

function swap(a: string, b: string): void {
  renameAt(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

function pickDirectory(root: string, random: Random): string {
  let path = root;
  for (let depth = random(4); depth > 0; depth--) {
    const names = fs.readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const next = names[random(names.length)];
    if (next === undefined) break;
    path = join(path, next.name);
  }
  return path;
}

function pick(root: string, random: Random): string {
  const directory = pickDirectory(root, random);
  const names = fs.readdirSync(directory);
  return join(directory, names[random(names.length)] ?? 'nothing');
}
