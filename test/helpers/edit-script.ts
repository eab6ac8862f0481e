/** Random edits of a small tree, for comparing ways to find what they changed. Knows no snapshots. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import {
  AT_FDCWD,
  mknodAt,
  removeXattr,
  RENAME_EXCHANGE,
  renameAt,
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
  ['remove tree', (from) => fs.rmSync(from, { recursive: true })],
  ['recreate', (from) => (fs.unlinkSync(from), fs.writeFileSync(from, 'again'))],
  ['write inside', (from, _to, random) => writeInside(from, random)],
  ['mkdir', (_from, to) => fs.mkdirSync(to)],
  ['recreate directory', (from) => (fs.rmSync(from, { recursive: true }), fs.mkdirSync(from))],
  ['to file', (from) => (fs.rmSync(from, { recursive: true }), fs.writeFileSync(from, 'now a file'))],
  ['to symlink', (from) => (fs.rmSync(from, { recursive: true }), fs.symlinkSync('/etc', from))],
  ['fifo', (_from, to) => mknodAt(AT_FDCWD, to, 0o010600)],
  ['socket', (_from, to) => mknodAt(AT_FDCWD, to, 0o140600)],
  ['device', (_from, to, random) => mknodAt(AT_FDCWD, to, 0o020600, random(3), 3)],
  ['sparse', (from, _to, random) => fs.truncateSync(file(from), 100_000 + random(100_000))],
  ['reflink', (from, to) => fs.copyFileSync(file(from), target(to), fs.constants.COPYFILE_FICLONE)],
];

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
