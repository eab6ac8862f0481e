import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { createContentStore } from '../../lib/content/index.js';
import { createMetadataStore } from '../../lib/metadata/index.js';
import { openStore } from '../../lib/snapshot/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { startCuttingProxy, type CuttingProxy } from '../helpers/cutting-proxy.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { storeImage } from '../helpers/stored-image.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

const KILLS = 5;
const MiB = 2 ** 20;

describe('push: killed', () => {
  let workspace: Workspace;
  let directory: string;
  let server: Served;
  let proxy: CuttingProxy;
  before(async () => {
    workspace = await makeWorkspace('kill-push');
    ({ directory } = workspace);
    server = await startServe(join(directory, 'registry'));
    proxy = await startCuttingProxy(server.host, []);
  });
  after(async () => {
    await proxy.close();
    await server.stop();
    await workspace.remove();
  });

  it(`SIGKILL at ${KILLS} random moments, then again: the same digest, no byte twice but a tail`, async function () {
    this.timeout(400_000);
    const seed = Number(process.env.IMGTOOL_TEST_SEED ?? randomInt(2 ** 31));
    const moment = (round: number): number =>
      createHash('sha256').update(`${seed}/${round}`).digest().readUInt32LE(0) / 2 ** 32;
    const { root } = await openStore(join(btrfsDirectory('kill-push'), 'root'), { create: true });
    const metadata = createMetadataStore({ root });
    const layers = [12 * MiB, 5 * MiB, 1000].map((size) => gzipSync(randomBytes(size), { level: 0 }));
    const record = await storeImage({ content: createContentStore({ root }), metadata }, layers);
    const all = [...record.layers, record.config, record.manifest].reduce((sum, { size }) => sum + size, 0);
    const push = ['--root', root, '--progress', 'none', 'push', record.id];

    const started = performance.now();
    expect(await run(IMGTOOL, [...push, `${proxy.host}/whole:1`])).to.equal(`${record.manifest.digest}\n`);
    const wholeMs = performance.now() - started;
    for (let round = 0; round < KILLS; round++) {
      const what = `seed ${seed}, kill ${round}`;
      const target = `${proxy.host}/round/${round}:1`;
      // What it knows of other repositories would be mounted.
      await metadata.images.put(record);
      const before = proxy.received;
      const child = spawn(IMGTOOL, [...push, target], { stdio: 'ignore' });
      const exit = once(child, 'exit');
      await Promise.race([exit, sleep(moment(round) * wholeMs)]);
      child.kill('SIGKILL');
      await exit;
      expect(await imgtool(root, 'push', record.id, target), what).to.equal(record.manifest.digest);
      // What the killed process still had on its way to the registry when it died.
      expect(proxy.received - before, what).to.be.lessThan(all + 6 * MiB);
      const { headers } = await fetch(`http://${server.host}/v2/round/${round}/manifests/1`, { method: 'HEAD' });
      expect(headers.get('docker-content-digest'), what).to.equal(record.manifest.digest);
      // Of records, a temporary file may stay for ten minutes: nobody can tell sooner that its writer is dead.
      const sessions = (await readdir(join(root, 'uploads'))).filter((name) => !name.startsWith('.new-'));
      expect(sessions, what).to.deep.equal([]);
    }
  });
});
