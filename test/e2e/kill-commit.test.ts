import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { makeBtrfsLoop } from '../helpers/btrfs-loop.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

const KILLS = Number(process.env.IMGTOOL_TEST_KILLS ?? 8);

describe('commit: killed', () => {
  let workspace: Workspace;
  let directory: string;
  let btrfs: Awaited<ReturnType<typeof makeBtrfsLoop>>;
  let server: Served;
  before(async () => {
    workspace = await makeWorkspace('kill-commit');
    ({ directory } = workspace);
    btrfs = await makeBtrfsLoop();
    await writeSmallImage(join(directory, 'layout'));
    server = await startServe(join(directory, 'registry'));
    await skopeoCopy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, `docker://${server.host}/small:1`);
  });
  after(async () => {
    await server.stop();
    await btrfs.remove();
    await workspace.remove();
  });

  it(`SIGKILL at ${KILLS} random moments, then again: the same image, nothing lost, nothing double`, async function () {
    this.timeout(400_000);
    const seed = Number(process.env.IMGTOOL_TEST_SEED ?? randomInt(2 ** 31));
    const moment = (round: number): number =>
      createHash('sha256').update(`${seed}/${round}`).digest().readUInt32LE(0) / 2 ** 32;
    const root = join(btrfs.path, 'store');
    const env = { ...process.env, SOURCE_DATE_EPOCH: '1700000000', IMGTOOL_ROOT: root, IMGTOOL_PROGRESS: 'none' };
    await imgtool(root, 'pull', `${server.host}/small:1`);
    await imgtool(root, 'create', '--name', 'box', `${server.host}/small:1`);
    const files = await imgtool(root, 'mount', 'box');
    await mkdir(join(files, 'more'));
    for (let n = 0; n < 40; n++) await writeFile(join(files, 'more', `${n}`), randomBytes(100_000));
    const commit = async (): Promise<string> => (await run(IMGTOOL, ['commit', 'box', 'local/x:1'], { env })).trim();
    const images = async (): Promise<number> =>
      (JSON.parse(await imgtool(root, 'images', '--json')) as unknown[]).length;
    const started = performance.now();
    const want = await commit();
    const wholeMs = performance.now() - started;
    const blobs = (await readdir(join(root, 'blobs/sha256'))).sort();
    for (let round = 0; round < KILLS; round++) {
      await imgtool(root, 'rmi', 'local/x:1');
      const child = spawn(IMGTOOL, ['commit', 'box', 'local/x:1'], { env, stdio: 'ignore' });
      const exit = once(child, 'exit');
      await Promise.race([exit, sleep(moment(round) * wholeMs)]);
      child.kill('SIGKILL');
      await exit;
      expect(await commit(), `seed ${seed}, kill ${round}`).to.equal(want);
      expect(await images()).to.equal(2);
      expect((await readdir(join(root, 'blobs/sha256'))).sort()).to.deep.equal(blobs);
      for (const place of ['work', 'trash', 'ingest'])
        expect(await readdir(join(root, place)), `seed ${seed}, kill ${round}: ${place}/`).to.deep.equal([]);
      // Of records, a temporary file may stay for ten minutes: nobody can tell sooner that its writer is dead.
      const layers = (await readdir(join(root, 'layers'))).filter((name) => !name.startsWith('.new-'));
      expect(layers.filter((name) => name.startsWith('.'))).to.deep.equal([]);
    }
  });
});
