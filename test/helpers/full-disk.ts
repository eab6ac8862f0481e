/** Disks that are full, and the program on them. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemErrorName } from '../../lib/errors.js';
import { setXattrFd } from '../../lib/sys/index.js';
import { makeBtrfsLoop, type BtrfsLoop } from './btrfs-loop.js';
import { commandLine, type CommandOutcome } from './command-line.js';

/** Runs `imgtool` without throwing, in this process. */
export function attempt(root: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CommandOutcome> {
  return commandLine(['--root', root, '--progress', 'none', ...args], { env: { ...process.env, ...env } });
}

/** Runs the program and expects it to succeed. */
export async function expectSuccess(root: string, ...args: readonly string[]): Promise<CommandOutcome> {
  const ended = await attempt(root, args);
  expect(ended.code, `${args.join(' ')}: ${ended.stderr}`).to.equal(0);
  return ended;
}

/** Runs the program and expects exit code 8 and a hint. Resolves with what it said. */
export async function expectNoRoom(root: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string> {
  const { code, stderr } = await attempt(root, args, env);
  expect(code, `${args.join(' ')}: ${stderr}`).to.equal(8);
  expect(stderr).to.match(/\nhint: .*\n$/);
  return stderr;
}

/** Does `work` on a btrfs of `size` bytes, with the root of a store on it. */
export async function onDisk(size: number, work: (disk: BtrfsLoop, root: string) => Promise<void>): Promise<void> {
  const disk = await makeBtrfsLoop(size, ['-m', 'single']);
  try {
    await work(disk, join(disk.path, 'store'));
  } finally {
    await disk.remove();
  }
}

/** Makes files in `directory` that are metadata alone until the file system refuses the smallest; returns why. */
export function fillMetadata(directory: string): string {
  mkdirSync(directory, { recursive: true });
  let refused = '';
  for (const bytes of [16_000, 1_000, 0])
    try {
      for (let i = 0; ; i++) {
        const fd = openSync(join(directory, `${bytes}-${i}`), 'w');
        try {
          if (bytes > 0) setXattrFd(fd, 'user.fill', Buffer.alloc(bytes, 1));
        } finally {
          closeSync(fd);
        }
      }
    } catch (error) {
      refused = systemErrorName(error) ?? '';
    }
  return refused;
}

/** Takes all room for data on the file system of `directory` but `leave` bytes. Returns how to free it. */
export function fillData(directory: string, leave: number): () => void {
  const [kept, filler] = [join(directory, 'kept'), join(directory, 'filler')];
  mkdirSync(filler, { recursive: true });
  if (leave > 0) execFileSync('fallocate', ['-l', String(leave), kept]);
  for (let size = 1 << 28, count = 0; size >= 1 << 16; count++)
    try {
      execFileSync('fallocate', ['-l', String(size), join(filler, String(count))], { stdio: 'ignore' });
    } catch {
      rmSync(join(filler, String(count)), { force: true });
      size /= 2;
    }
  rmSync(kept, { force: true });
  execFileSync('sync', ['-f', directory]);
  return () => {
    rmSync(filler, { recursive: true });
    execFileSync('sync', ['-f', directory]);
  };
}

/** Bytes that are free for data. */
export function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

/** Does `work` with a small file system in memory at `path`. */
export async function onTmpfs(path: string, size: string, work: () => Promise<void>): Promise<void> {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
  try {
    await work();
  } finally {
    // The loop device of a pool on it lets go a moment later.
    execFileSync('umount', ['--lazy', path]);
  }
}

/** Writes zeros to `file` until its disk is full. */
export function fillWith(file: string): void {
  try {
    for (;;) writeFileSync(file, Buffer.alloc(1 << 20), { flag: 'a' });
  } catch (error) {
    if (systemErrorName(error) !== 'ENOSPC') throw error;
  }
}
