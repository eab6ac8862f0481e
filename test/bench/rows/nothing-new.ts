import { join } from 'node:path';
import { makeBtrfsLoop, type BtrfsLoop } from '../../helpers/btrfs-loop.js';
import { makePodman, type Podman } from '../../helpers/podman.js';
import { run } from '../../helpers/run.js';
import { timeProgram, type BenchContext, type BenchRow, type Participant } from '../row.js';

let btrfs: BtrfsLoop | undefined;
let store: Podman | undefined;

/** A pull of what is there already: time and requests. */
export const nothingNew: BenchRow = {
  name: 'pull of nothing new',
  unit: 's',
  runs: 9,
  participants: async (context) => {
    btrfs = await makeBtrfsLoop();
    store = await makePodman();
    const root = join(btrfs.path, 'store');
    const { reference } = context.image;
    return [
      again(context, 'imgtool', context.imgtool, ['--root', root, '--progress', 'none', 'pull', reference], {}),
      again(context, 'podman', 'podman', ['pull', '-q', '--tls-verify=false', reference], store.env),
    ];
  },
  finish: async () => {
    await btrfs?.remove();
    await store?.remove();
    btrfs = store = undefined;
  },
};

/** The first run pulls, untimed; each run then times the same command again. */
function again(
  context: BenchContext,
  name: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Participant {
  let pulled = false;
  return {
    name,
    run: async () => {
      if (!pulled) await run(program, args, { env });
      pulled = true;
      await context.image.registry.forget();
      const value = await timeProgram(program, args, { env });
      return { value, counts: { requests: (await context.image.registry.requests()).length } };
    },
  };
}
