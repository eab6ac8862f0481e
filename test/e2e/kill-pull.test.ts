import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { makeBtrfsLoop, type BtrfsLoop } from '../helpers/btrfs-loop.js';
import { startCountingProxy, type BlobTransfer, type CountingProxy } from '../helpers/counting-proxy.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL, imgtool, imgtoolProcess } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { bytesUnderWay } from '../helpers/tcp-queue.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';

/** What a kill may cost: bytes on their way in sockets and in the block not yet written. */
const TAIL = 1 << 20;
const KILLS = 50;

describe('pull: killed, out of space, twice at once', () => {
  let directory: string;
  let btrfs: BtrfsLoop;
  let registry: DockerRegistry;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-kill-'));
    btrfs = await makeBtrfsLoop();
    registry = await startDockerRegistry();
    const layers = ['a', 'b', 'c'].map((name) => ({
      entries: [
        { path: name, type: 'dir' as const },
        { path: `${name}/big`, content: randomBytes(2 << 20) },
        ...Array.from({ length: 50 }, (_, n) => ({ path: `${name}/${n}`, content: `${name} ${n}` })),
      ],
    }));
    const zeros = [{ entries: [{ path: 'zeros', content: Buffer.alloc(300 << 20) }] }];
    await writeOciLayout(join(directory, 'layout'), [
      { tag: 'parts', layers },
      { tag: 'zeros', layers: zeros },
    ]);
    for (const tag of ['parts', 'zeros'])
      await skopeoCopy(`oci:${join(directory, 'layout')}:${tag}`, `docker://${registry.host}/${tag}:1`);
  });
  after(async () => {
    await registry.stop();
    await btrfs.remove();
    await rm(directory, { recursive: true, force: true });
  });

  it(`SIGKILL at ${KILLS} random moments, then pull: right tree, no leftovers, no byte twice but a tail`, async function () {
    this.timeout(400_000);
    const seed = Number(process.env.SEED ?? randomInt(2 ** 31));
    console.log(`      SEED=${seed}`);
    const proxy = await startCountingProxy(registry.host, 3);
    try {
      const reference = `${proxy.host}/parts:1`;
      const first = join(btrfs.path, 'first');
      const started = Date.now();
      const id = await imgtoolProcess(first, 'pull', reference);
      const wholeMs = Date.now() - started;
      const want = listTree(await topLayer(first, id));
      let kills = 0;
      for (let round = 0; kills < KILLS; round++) {
        const root = join(btrfs.path, `round-${round}`);
        proxy.transfers.length = 0;
        let lost = 0;
        // Some are killed again while they resume.
        for (let left = 1 + (round % 3); left > 0 && kills < KILLS; left--, kills++) {
          const random = createHash('sha256').update(`${seed}/${kills}`).digest().readUInt32LE(0) / 2 ** 32;
          lost += TAIL + (await killAfter(root, reference, random * wholeMs, proxy));
        }
        expect(await imgtool(root, 'pull', reference), `image after kill ${kills}`).to.equal(id);
        expectSameTree(want, listTree(await topLayer(root, id)));
        await expectNoLeftovers(root);
        expectNothingTwice(proxy.transfers, lost);
      }
    } finally {
      await proxy.close();
    }
  });

  it('ENOSPC in the middle: exit code 8, rolled back, and the store works on', async () => {
    const small = await makeBtrfsLoop(256 << 20);
    try {
      const root = join(small.path, 'store');
      expect(await exitOfPull(root, `${registry.host}/zeros:1`)).to.equal(8);
      await expectNoLeftovers(root);
      expect(await imgtool(root, 'images', '-q')).to.equal('');
      await imgtool(root, 'pull', '--reserve', '0', `${registry.host}/parts:1`);
    } finally {
      await small.remove();
    }
  });

  it('ENOSPC where nothing can be renamed either: rolled back all the same', async () => {
    const small = await makeBtrfsLoop(200 << 20, ['-m', 'single']);
    try {
      const root = join(small.path, 'store');
      expect(await exitOfPull(root, `${registry.host}/zeros:1`)).to.equal(8);
      await expectNoLeftovers(root);
    } finally {
      await small.remove();
    }
  });

  it('two processes pulling one image share one download', async () => {
    const root = join(btrfs.path, 'shared');
    const proxy = await startCountingProxy(registry.host, 5);
    try {
      const ids = await Promise.all([1, 2].map(() => imgtoolProcess(root, 'pull', `${proxy.host}/parts:1`)));
      expect(ids[0]).to.equal(ids[1]);
      const digests = proxy.transfers.map((transfer) => transfer.digest);
      expect(digests).to.have.length(new Set(digests).size);
      await expectNoLeftovers(root);
    } finally {
      await proxy.close();
    }
  });
});

/** Directory of the image's top layer: its whole tree. */
async function topLayer(root: string, id: string): Promise<string> {
  const record = await readFile(join(root, 'images', `${id.slice('sha256:'.length)}.json`), 'utf8');
  const { chainIds } = JSON.parse(record) as { chainIds: string[] };
  return join(root, 'layers', chainIds.at(-1)!.slice('sha256:'.length));
}

/** Exit code of a pull that fills the disk. */
async function exitOfPull(root: string, reference: string): Promise<number | null> {
  const pull = spawn(IMGTOOL, ['--root', root, '--progress', 'none', 'pull', '--reserve', '0', reference]);
  return ((await once(pull, 'exit')) as [number | null])[0];
}

/** Starts a pull and kills it after `ms`, unless it is done by then; resolves with bytes that it never got to read. */
async function killAfter(root: string, reference: string, ms: number, proxy: CountingProxy): Promise<number> {
  const child = spawn(IMGTOOL, ['--root', root, '--progress', 'none', 'pull', reference], { stdio: 'ignore' });
  const exit = once(child, 'exit');
  await Promise.race([exit, sleep(ms)]);
  proxy.held = true;
  const lost = bytesUnderWay(Number(/:(\d+)\//.exec(reference)![1]));
  child.kill('SIGKILL');
  await exit;
  proxy.held = false;
  return lost;
}

async function expectNoLeftovers(root: string): Promise<void> {
  for (const name of ['work', 'ingest', 'trash'])
    expect(await readdir(join(root, name), { recursive: true }), `leftovers in ${name}/`).to.deep.equal([]);
}

/** Every later request for a blob starts where the earlier ones ended, less the `lost` bytes: a tail a kill, and what was never read. */
function expectNothingTwice(transfers: readonly BlobTransfer[], lost: number): void {
  const ends = new Map<string, number>();
  for (const { digest, offset, sent } of transfers) {
    expect((ends.get(digest) ?? 0) - offset, `bytes of ${digest} fetched again`).to.be.at.most(lost);
    ends.set(digest, Math.max(ends.get(digest) ?? 0, offset + sent));
  }
}
