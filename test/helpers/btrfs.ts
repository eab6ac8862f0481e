import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * One loop-mounted btrfs for each process of a mocha run, made by the first test that asks and removed by the root hook
 * in hooks.ts. The next run removes what a killed one left behind.
 */

const PREFIX = 'imgtool-btrfs-';
let mounted: { readonly directory: string; readonly mountPoint: string } | undefined;

/** Mount point of the shared btrfs (8 GiB, sparse). */
export function sharedBtrfs(): string {
  if (mounted !== undefined) return mounted.mountPoint;
  const directory = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  const mountPoint = makeBtrfs(directory, 8 * 2 ** 30);
  mounted = { directory, mountPoint };
  return mountPoint;
}

/** A new directory on the shared btrfs. Whoever makes subvolumes inside need not remove them: the whole goes at the end. */
export function btrfsDirectory(label = 'dir'): string {
  return mkdtempSync(join(sharedBtrfs(), `${label}-`));
}

/** Makes a btrfs of `sizeBytes` in a sparse file in `directory`, mounts it on `directory/mnt` and returns that path. */
export function makeBtrfs(directory: string, sizeBytes: number): string {
  const image = join(directory, 'btrfs.img');
  const mountPoint = join(directory, 'mnt');
  writeFileSync(image, '');
  truncateSync(image, sizeBytes);
  mkdirSync(mountPoint);
  execFileSync('mkfs.btrfs', ['-q', '-m', 'single', image], { stdio: ['ignore', 'ignore', 'inherit'] });
  // No test cuts the power: the disk below need not be flushed at each sync.
  execFileSync('mount', ['-t', 'btrfs', '-o', 'loop,noatime,nobarrier', image, mountPoint]);
  return mountPoint;
}

/** Unmounts everything below `directory`, a file system that `makeBtrfs` made included, and deletes it; loop devices go with it. */
export function unmakeBtrfs(directory: string): void {
  const inside = execFileSync('findmnt', ['-rno', 'TARGET'], { encoding: 'utf8' })
    .split('\n')
    .filter((target) => target.startsWith(`${directory}/`))
    .reverse();
  for (const target of inside) execFileSync('umount', ['-l', target]);
  rmSync(directory, { recursive: true, force: true });
}

/** For the root hook: removes the shared btrfs, if one was made. */
export function removeSharedBtrfs(): void {
  if (mounted === undefined) return;
  unmakeBtrfs(mounted.directory);
  mounted = undefined;
}

/** For the global set-up, which runs once and before any test: removes the file systems of runs that were killed. */
export function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const match = /^imgtool-btrfs-(\d+)-/.exec(name);
    if (match !== null && !isRunning(Number(match[1]))) unmakeBtrfs(join(tmpdir(), name));
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
