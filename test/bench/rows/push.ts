import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeStores, type ContainerStores } from '../containers.js';
import { timeProgram, type BenchRow, type Participant } from '../row.js';

let stores: ContainerStores | undefined;

/** An image with one small layer more than the registry has, pushed: time, requests, and bytes that were sent. */
export const pushSmall: BenchRow = {
  name: 'push after a commit of one change',
  unit: 's',
  runs: 5,
  participants: async (context) => {
    stores = await makeStores(context);
    const { root, imgtool, podman } = stores;
    const { image } = context;
    const target = image.reference.replace(/:[^:]*$/, ':pushed');
    const counted = async (work: () => Promise<number>): ReturnType<Participant['run']> => {
      await image.registry.forget();
      const value = await work();
      return { value, counts: { requests: (await image.registry.requests()).length } };
    };
    let round = 0;
    return [
      {
        name: 'imgtool',
        run: async () => {
          await imgtool('create', '--name', 'box', image.reference);
          await appendFile(join(await imgtool('mount', 'box'), 'changed'), `imgtool ${round++}`);
          await imgtool('commit', 'box', target);
          const sample = await counted(() => timeProgram(context.imgtool, ['--root', root, '-q', 'push', target]));
          await imgtool('rm', 'box');
          return sample;
        },
      },
      {
        name: 'podman',
        run: async () => {
          const box = (await podman.buildah('from', '--pull-never', image.reference)).trim();
          await appendFile(join((await podman.buildah('mount', box)).trim(), 'changed'), `podman ${round++}`);
          await podman.buildah('commit', '-q', '--rm', box, target);
          const args = ['push', '-q', '--tls-verify=false', target];
          return counted(() => timeProgram('podman', args, { env: podman.env }));
        },
      },
    ];
  },
  finish: async () => {
    await stores?.remove();
    stores = undefined;
  },
};
