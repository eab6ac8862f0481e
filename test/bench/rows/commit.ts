import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../helpers/run.js';
import { makeStores, type ContainerStores } from '../containers.js';
import { timeProgram, type BenchRow } from '../row.js';

/** Changes the tree below `files`; untimed. */
type Change = (files: string) => Promise<void>;

/** A line in one file, and an image made of it. */
export const commitSmall: BenchRow = commitRow('commit of one change', 5, (files) =>
  appendFile(join(files, 'changed'), 'x'),
);

/** A tree of programs, libraries and some random data copied into the container, and an image made of it. */
export const commitLarge: BenchRow = commitRow('commit of a large layer', 3, async (files) => {
  await mkdir(join(files, 'opt'), { recursive: true });
  await run('cp', ['-a', '--reflink=never', join(files, 'usr/lib'), join(files, 'opt/copy')]);
  await writeFile(join(files, 'opt/random'), randomBytes(16 << 20));
});

function commitRow(name: string, runs: number, change: Change): BenchRow {
  let stores: ContainerStores | undefined;
  return {
    name,
    unit: 's',
    runs,
    participants: async (context) => {
      stores = await makeStores(context);
      const { root, imgtool, podman } = stores;
      return [
        {
          name: 'imgtool',
          run: async () => {
            await imgtool('create', '--name', 'box', context.image.reference);
            await change(await imgtool('mount', 'box'));
            await run('sync', []);
            const args = ['--root', root, '--progress', 'none', 'commit', 'box', 'localhost/made:1'];
            const value = await timeProgram(context.imgtool, args);
            const [image] = JSON.parse(await imgtool('images', 'localhost/made', '--json')) as {
              exclusiveSize: number;
            }[];
            await imgtool('rm', 'box');
            await imgtool('rmi', 'localhost/made:1');
            return { value, counts: { bytes: image?.exclusiveSize ?? 0 } };
          },
        },
        {
          name: 'buildah',
          run: async () => {
            const box = (await podman.buildah('from', '--pull-never', context.image.reference)).trim();
            await change((await podman.buildah('mount', box)).trim());
            await run('sync', []);
            const value = await timeProgram('buildah', ['commit', '-q', box, 'localhost/made:1'], { env: podman.env });
            await podman.buildah('rm', box);
            await podman.buildah('rmi', 'localhost/made:1');
            return { value };
          },
        },
      ];
    },
    finish: async () => {
      await stores?.remove();
      stores = undefined;
    },
  };
}
