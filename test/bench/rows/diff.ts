import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeStores, type ContainerStores } from '../containers.js';
import { timeProgram, type BenchRow } from '../row.js';

let stores: ContainerStores | undefined;

/** One line appended to one file of a container, and what changed asked for. */
export const diff: BenchRow = {
  name: 'diff of one change',
  unit: 's',
  runs: 5,
  participants: async (context) => {
    stores = await makeStores(context);
    const { root, imgtool, podman } = stores;
    await imgtool('create', '--name', 'box', context.image.reference);
    await appendFile(join(await imgtool('mount', 'box'), 'changed'), 'x');
    await podman.podman('create', '--name', 'box', context.image.reference, '/bin/true');
    await appendFile(join((await podman.podman('mount', 'box')).trim(), 'changed'), 'x');
    return [
      {
        name: 'imgtool',
        run: async () => ({ value: await timeProgram(context.imgtool, ['--root', root, 'diff', 'box']) }),
      },
      {
        name: 'podman',
        run: async () => ({ value: await timeProgram('podman', ['diff', 'box'], { env: podman.env }) }),
      },
    ];
  },
  finish: async () => {
    await stores?.podman.podman('rm', '-f', 'box');
    await stores?.remove();
    stores = undefined;
  },
};
