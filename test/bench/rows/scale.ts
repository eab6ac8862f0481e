import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeBtrfsLoop, type BtrfsLoop } from '../../helpers/btrfs-loop.js';
import { run } from '../../helpers/run.js';
import { manyFilesTar } from '../image.js';
import { timeProgram, type BenchRow, type Participant } from '../row.js';

/** Files beyond those of the image: with its 47,500 they make about half a million. */
const MORE_FILES = 450_000;
const MORE_FILES_QUICK = 20_000;

/** One line appended to one file, and what changed asked for, in the image and in one ten times as large. */
export const scaleDiff: BenchRow = scaleRow('scale: diff of one change', () => Promise.resolve(['diff']));

/** The same, and an image made of it. */
export const scaleCommit: BenchRow = scaleRow('scale: commit of one change', async (imgtool, box) => {
  await appendFile(join(await imgtool('mount', box), 'changed'), 'x');
  await run('sync', []);
  return ['--progress', 'none', 'commit'];
});

type Imgtool = (...args: string[]) => Promise<string>;

/** Times `imgtool WORDS CONTAINER` for a container of each image; `prepare` resolves with the words, untimed. */
function scaleRow(name: string, prepare: (imgtool: Imgtool, box: string) => Promise<string[]>): BenchRow {
  let btrfs: BtrfsLoop | undefined;
  return {
    name,
    unit: 's',
    runs: 7,
    participants: async ({ imgtool: program, image, quick }) => {
      const more = quick ? MORE_FILES_QUICK : MORE_FILES;
      const tar = await manyFilesTar(more);
      btrfs = await makeBtrfsLoop(16 * 2 ** 30);
      const root = join(btrfs.path, 'store');
      const imgtool: Imgtool = async (...args) =>
        (await run(program, ['--root', root, '--progress', 'none', ...args])).trim();
      await imgtool('pull', image.reference);
      await imgtool('append', '--tag', 'localhost/large:1', image.reference, tar);
      const participant = async (title: string, box: string, reference: string): Promise<Participant> => {
        await imgtool('create', '--name', box, reference);
        await appendFile(join(await imgtool('mount', box), 'changed'), 'x');
        return {
          name: title,
          run: async () => {
            const words = await prepare(imgtool, box);
            return { value: await timeProgram(program, ['--root', root, ...words, box]) };
          },
        };
      };
      return [
        await participant(`imgtool, ${more} files more`, 'large', 'localhost/large:1'),
        await participant('imgtool, the image', 'small', image.reference),
      ];
    },
    finish: async () => {
      await btrfs?.remove();
      btrfs = undefined;
    },
  };
}
