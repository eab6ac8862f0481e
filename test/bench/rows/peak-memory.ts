import { join } from 'node:path';
import { makeBtrfsLoop } from '../../helpers/btrfs-loop.js';
import { makePodman } from '../../helpers/podman.js';
import { serveOneLayer, type BenchImage } from '../image.js';
import { watchMemory } from '../memory.js';
import { timeProgram, type BenchRow, type Participant } from '../row.js';

const opened: BenchImage[] = [];

/** Peak resident memory of all processes of a cold pull; also for one layer and one ten times as large. */
export const peakMemory: BenchRow = {
  name: 'peak memory',
  unit: 'MB',
  runs: 3,
  participants: async (context) => {
    const size = context.quick ? 20e6 : 300e6;
    const small = await serveOneLayer(size);
    opened.push(small);
    const large = await serveOneLayer(10 * size);
    opened.push(large);
    return [
      imgtool('imgtool', context.imgtool, context.image),
      imgtool(`imgtool, ${small.description}`, context.imgtool, small),
      imgtool(`imgtool, ${large.description}`, context.imgtool, large),
      podman(context.image),
    ];
  },
  finish: async () => {
    for (const image of opened.splice(0)) await image.registry.stop();
  },
};

async function peakOf(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  let watch: ReturnType<typeof watchMemory> | undefined;
  try {
    await timeProgram(program, args, { env, onStart: (pid) => void (watch = watchMemory(pid)) });
  } finally {
    watch?.stop();
  }
  return (watch?.stop() ?? 0) / 1e6;
}

function imgtool(name: string, program: string, image: BenchImage): Participant {
  return {
    name,
    run: async () => {
      const btrfs = await makeBtrfsLoop(16 * 2 ** 30);
      try {
        const args = ['--root', join(btrfs.path, 'store'), '--progress', 'none', 'pull', image.reference];
        return { value: await peakOf(program, args, {}) };
      } finally {
        await btrfs.remove();
      }
    },
  };
}

function podman(image: BenchImage): Participant {
  return {
    name: 'podman',
    run: async () => {
      const store = await makePodman();
      try {
        return { value: await peakOf('podman', ['pull', '-q', '--tls-verify=false', image.reference], store.env) };
      } finally {
        await store.remove();
      }
    },
  };
}
