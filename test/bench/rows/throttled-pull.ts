import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBtrfsLoop } from '../../helpers/btrfs-loop.js';
import { startCountingProxy, type CountingProxy } from '../../helpers/counting-proxy.js';
import { serveOneLayer, type BenchImage } from '../image.js';
import { timeProgram, type BenchContext, type BenchRow, type Participant, type Sample } from '../row.js';

/** 64 KiB each so often are 2 MB a second. Milliseconds. */
const PAUSE_MS = 32;

let opened: { readonly image: BenchImage; readonly proxy: CountingProxy } | undefined;

/** One layer of 100 MB through a proxy that gives each transfer 2 MB/s: in several parts, in one, and by skopeo. */
export const throttledPull: BenchRow = {
  name: 'pull at 2 MB a second and connection',
  unit: 's',
  runs: 1,
  participants: async (context) => {
    // Half of the layer's file compresses away.
    const image = await serveOneLayer(context.quick ? 64e6 : 200e6);
    const proxy = await startCountingProxy(image.registry.host, PAUSE_MS);
    opened = { image, proxy };
    const reference = image.reference.replace(image.registry.host, proxy.host);
    return [
      imgtool(context, 'imgtool', proxy, ['pull', reference]),
      imgtool(context, 'imgtool, 1 connection', proxy, ['pull', '--connections', '1', reference]),
      skopeo(proxy, reference),
    ];
  },
  finish: async () => {
    await opened?.proxy.close();
    await opened?.image.registry.stop();
    opened = undefined;
  },
};

async function counted(proxy: CountingProxy, work: () => Promise<number>): Promise<Sample> {
  const before = proxy.transfers.length;
  const value = await work();
  const transfers = proxy.transfers.slice(before);
  return { value, counts: { requests: transfers.length, bytes: transfers.reduce((sum, { sent }) => sum + sent, 0) } };
}

function imgtool(context: BenchContext, name: string, proxy: CountingProxy, args: readonly string[]): Participant {
  return {
    name,
    run: async () => {
      const btrfs = await makeBtrfsLoop();
      try {
        const all = ['--root', join(btrfs.path, 'store'), '--progress', 'none', ...args];
        return await counted(proxy, () => timeProgram(context.imgtool, all));
      } finally {
        await btrfs.remove();
      }
    },
  };
}

function skopeo(proxy: CountingProxy, reference: string): Participant {
  return {
    name: 'skopeo copy to dir',
    run: async () => {
      const directory = await mkdtemp(join(tmpdir(), 'imgtool-bench-'));
      try {
        const args = ['copy', '--src-tls-verify=false', `docker://${reference}`, `dir:${directory}/image`];
        return await counted(proxy, () => timeProgram('skopeo', args));
      } finally {
        await rm(directory, { recursive: true });
      }
    },
  };
}
