import { join } from 'node:path';
import { makeBtrfsLoop, type BtrfsLoop } from '../../helpers/btrfs-loop.js';
import { makePodman, type Podman } from '../../helpers/podman.js';
import { timeProgram, type BenchRow, type Participant } from '../row.js';

let btrfs: BtrfsLoop | undefined;
let store: Podman | undefined;

/** What a command costs before it does anything, against node itself and podman; on empty stores. */
export const startUp: BenchRow = {
  name: 'start-up',
  unit: 's',
  runs: 15,
  participants: async (context) => {
    btrfs = await makeBtrfsLoop();
    store = await makePodman();
    const timed = (
      name: string,
      program: string,
      args: readonly string[],
      env: Readonly<Record<string, string>> = {},
    ): Participant => ({ name, run: async () => ({ value: await timeProgram(program, args, { env }) }) });
    return [
      timed('imgtool --version', context.imgtool, ['--version']),
      timed('imgtool images', context.imgtool, ['--root', join(btrfs.path, 'store'), 'images']),
      timed('node -e 0', process.execPath, ['-e', '0']),
      timed('podman images', 'podman', ['images'], store.env),
    ];
  },
  finish: async () => {
    await btrfs?.remove();
    await store?.remove();
    btrfs = store = undefined;
  },
};
