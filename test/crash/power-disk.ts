import { randomUUID } from 'node:crypto';
import { mkdir, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../helpers/run.js';

/**
 * A btrfs on a loop device whose power can be cut: its backing file, on another btrfs, is copied at one moment (a reflink),
 * and the copy is mounted in its place.
 */
export interface PowerDisk {
  /** Where it is mounted. */
  readonly path: string;
  /** What starts a program so that it sees the boot ID of this boot. */
  boot(): readonly string[];
  /** Takes what is on the disk at this moment. */
  cut(): Promise<void>;
  /** Mounts what the last `cut` took, in a new boot. Nothing may run on the disk. */
  restart(): Promise<void>;
  remove(): Promise<void>;
}

const ENV = { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } };

/** Makes a disk in `directory`, which is on a btrfs. Needs root. */
export async function createPowerDisk(directory: string): Promise<PowerDisk> {
  const [disk, taken, path] = ['disk', 'taken', 'mnt'].map((name) => join(directory, name)) as [string, string, string];
  await mkdir(path);
  await writeFile(disk, '');
  await truncate(disk, 4 * 2 ** 30);
  await run('mkfs.btrfs', ['-q', disk], ENV);
  let bootFile = '';
  const start = async (): Promise<void> => {
    const bootId = randomUUID();
    bootFile = join(directory, `boot-${bootId}`);
    await writeFile(bootFile, `${bootId}\n`);
    // What is on disk shall be what was asked to be there, not what came there by itself after some seconds.
    await run('mount', ['-t', 'btrfs', '-o', 'loop,noatime,commit=600', disk, path], ENV);
  };
  const bind = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';
  await start();
  return {
    path,
    boot: () => ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', bind, bootFile],
    cut: async () => void (await run('cp', ['--reflink=always', '--sparse=auto', disk, taken])),
    restart: async () => {
      await run('umount', [path], ENV);
      await rename(taken, disk);
      await start();
    },
    remove: async () => void (await run('umount', [path], ENV)),
  };
}
