import { mkdtemp, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unmakeBtrfs } from './btrfs.js';
import { run } from './run.js';

/** Directories of the file systems that are mounted; unmounted at the latest when the process ends. */
const mounted = new Set<string>();
process.once('exit', () => mounted.forEach(unmakeBtrfs));

/** A btrfs of its own on a sparse file. `remove` unmounts it and deletes the file. */
export interface BtrfsLoop {
  /** Where it is mounted. */
  readonly path: string;
  remove(): Promise<void>;
}

/** Makes and mounts a btrfs of `sizeBytes` (virtual, default 8 GiB), `mkfs` as options. Needs root and a free loop device. */
export async function makeBtrfsLoop(sizeBytes: number = 8 * 2 ** 30, mkfs: readonly string[] = []): Promise<BtrfsLoop> {
  const directory = await mkdtemp(join(tmpdir(), `imgtool-btrfs-${process.pid}-`));
  const [file, path] = [join(directory, 'image'), join(directory, 'mount')];
  try {
    await mkdir(path);
    await writeFile(file, '');
    await truncate(file, sizeBytes);
    await run('mkfs.btrfs', ['-q', ...mkfs, file], { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
    // No test cuts the power: the disk below need not be flushed at each sync.
    await run('mount', ['-o', 'loop,noatime,nobarrier', file, path]);
    mounted.add(directory);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    path,
    remove: async () => {
      await run('umount', [path]);
      mounted.delete(directory);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
