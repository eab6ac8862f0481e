/** Stores of imgtool and of podman with the image in them, for rows that work on containers. */
import { join } from 'node:path';
import { makeBtrfsLoop } from '../helpers/btrfs-loop.js';
import { makePodman, type Podman } from '../helpers/podman.js';
import { run } from '../helpers/run.js';
import type { BenchContext } from './row.js';

/** Both stores; `remove` gives everything back. */
export interface ContainerStores {
  /** Root of imgtool's store. */
  readonly root: string;
  readonly podman: Podman;
  /** Runs imgtool on its store, untimed; resolves with its stdout, trimmed. */
  readonly imgtool: (...args: string[]) => Promise<string>;
  remove(): Promise<void>;
}

/** Makes both stores, each on a btrfs of its own, and pulls the image into them. */
export async function makeStores({ imgtool: program, image }: BenchContext): Promise<ContainerStores> {
  const btrfs = await makeBtrfsLoop();
  const root = join(btrfs.path, 'store');
  const podman = await makePodman();
  const imgtool = async (...args: string[]): Promise<string> =>
    (await run(program, ['--root', root, '--progress', 'none', ...args])).trim();
  await imgtool('pull', image.reference);
  await podman.pull(image.reference);
  return {
    root,
    podman,
    imgtool,
    remove: async () => {
      await btrfs.remove();
      await podman.remove();
    },
  };
}
