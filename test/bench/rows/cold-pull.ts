import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { makeBtrfsLoop } from '../../helpers/btrfs-loop.js';
import { makePodman } from '../../helpers/podman.js';
import { run } from '../../helpers/run.js';
import { diffTrees, listTree, type TreeEntry } from '../../helpers/tree-listing.js';
import { timeProgram, type BenchContext, type BenchRow, type Participant, type Sample } from '../row.js';

/** The image into an empty store on a fresh btrfs: imgtool, podman, and the serial floor `igzip -d | tar x`. Trees are compared. */
export const coldPull: BenchRow = {
  name: 'cold pull',
  unit: 's',
  runs: 3,
  participants: (context) => {
    const trees = new Map<string, Map<string, TreeEntry>>();
    return Promise.resolve([imgtool(context, trees), podman(context, trees), floor(context)]);
  },
};

/** Counts what `work` made the registry send. */
async function counted(context: BenchContext, work: () => Promise<number>): Promise<Sample> {
  const { registry } = context.image;
  await run('sync', []);
  await registry.forget();
  const value = await work();
  const requests = await registry.requests();
  const bytes = requests.reduce((sum, request) => sum + request.written, 0);
  return { value, counts: { requests: requests.length, bytes } };
}

function imgtool(context: BenchContext, trees: Map<string, Map<string, TreeEntry>>): Participant {
  return {
    name: 'imgtool',
    run: async () => {
      const btrfs = await makeBtrfsLoop();
      try {
        const root = join(btrfs.path, 'store');
        const arguments_ = ['--root', root, '--progress', 'none', 'pull', context.image.reference];
        const sample = await counted(context, () => timeProgram(context.imgtool, arguments_));
        if (!trees.has('imgtool')) {
          const container = (await run(context.imgtool, ['--root', root, 'create', context.image.reference])).trim();
          const path = (await run(context.imgtool, ['--root', root, 'mount', container])).trim();
          trees.set('imgtool', listTree(path, { withoutRoot: true }));
          compare(trees);
        }
        return sample;
      } finally {
        await btrfs.remove();
      }
    },
  };
}

function podman(context: BenchContext, trees: Map<string, Map<string, TreeEntry>>): Participant {
  return {
    name: 'podman',
    run: async () => {
      const store = await makePodman();
      try {
        const { reference } = context.image;
        const arguments_ = ['pull', '-q', '--tls-verify=false', reference];
        const sample = await counted(context, () => timeProgram('podman', arguments_, { env: store.env }));
        if (!trees.has('podman')) {
          trees.set('podman', listTree(await store.mountImage(reference), { withoutRoot: true }));
          compare(trees);
        }
        return sample;
      } finally {
        await store.remove();
      }
    },
  };
}

/** Throws when both trees are there and differ. */
function compare(trees: ReadonlyMap<string, Map<string, TreeEntry>>): void {
  const [ours, theirs] = [trees.get('imgtool'), trees.get('podman')];
  if (ours === undefined || theirs === undefined) return;
  const lines = diffTrees(theirs, ours);
  if (lines.length > 0) throw new Error(`imgtool's tree is not podman's: ${lines.length} differences, ${lines[0]}`);
}

/** One subvolume a layer, no network, no hashing, no whiteouts: what the unpacking alone costs in series. */
function floor(context: BenchContext): Participant {
  const script = `set -e; cd "$1"; shift; last=
    for layer; do
      next=$((\${last:-0} + 1))
      if [ -n "$last" ]; then btrfs -q subvolume snapshot "$last" "$next"; else btrfs -q subvolume create "$next"; fi
      igzip -d -c "$layer" | tar --xattrs --xattrs-include='*' --numeric-owner -xpf - -C "$next"
      last=$next
    done`;
  return {
    name: 'igzip | tar',
    run: async () => {
      const btrfs = await makeBtrfsLoop();
      try {
        const work = await mkdtemp(join(btrfs.path, 'floor-'));
        await run('sync', []);
        return { value: await timeProgram('bash', ['-c', script, 'floor', work, ...context.image.layers]) };
      } finally {
        await btrfs.remove();
      }
    },
  };
}
