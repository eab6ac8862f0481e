import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeBtrfsLoop } from '../../helpers/btrfs-loop.js';
import { run } from '../../helpers/run.js';
import { manyFilesTar } from '../image.js';
import { timeProgram, type BenchContext, type BenchRow, type Participant } from '../row.js';

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

/** A store with the image, and with one of many more files. */
export interface LargeStore {
  readonly root: string;
  readonly imgtool: Imgtool;
  /** References of both images. */
  readonly small: string;
  readonly large: string;
  /** How many more files `large` has. */
  readonly more: number;
  remove(): Promise<void>;
}

/** Makes the store on a btrfs of its own. `remove` it in the end. */
export async function makeLargeStore({ imgtool: program, image, quick }: BenchContext): Promise<LargeStore> {
  const more = quick ? MORE_FILES_QUICK : MORE_FILES;
  const tar = await manyFilesTar(more);
  const btrfs = await makeBtrfsLoop(16 * 2 ** 30);
  const root = join(btrfs.path, 'store');
  const imgtool: Imgtool = async (...args) =>
    (await run(program, ['--root', root, '--progress', 'none', ...args])).trim();
  await imgtool('pull', image.reference);
  const large = 'localhost/large:1';
  await imgtool('append', '--tag', large, image.reference, tar);
  return { root, imgtool, small: image.reference, large, more, remove: () => btrfs.remove() };
}

/** Times `imgtool WORDS CONTAINER` for a container of each image; `prepare` resolves with the words, untimed. */
function scaleRow(name: string, prepare: (imgtool: Imgtool, box: string) => Promise<string[]>): BenchRow {
  let store: LargeStore | undefined;
  return {
    name,
    unit: 's',
    runs: 7,
    participants: async (context) => {
      store = await makeLargeStore(context);
      const { root, imgtool, small, large, more } = store;
      const participant = async (title: string, box: string, reference: string): Promise<Participant> => {
        await imgtool('create', '--name', box, reference);
        await appendFile(join(await imgtool('mount', box), 'changed'), 'x');
        return {
          name: title,
          run: async () => {
            const words = await prepare(imgtool, box);
            return { value: await timeProgram(context.imgtool, ['--root', root, ...words, box]) };
          },
        };
      };
      return [
        await participant(`imgtool, ${more} files more`, 'large', large),
        await participant('imgtool, the image', 'small', small),
      ];
    },
    finish: async () => {
      await store?.remove();
      store = undefined;
    },
  };
}
