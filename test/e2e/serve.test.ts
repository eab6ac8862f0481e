import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { IMGTOOL, startServe } from '../helpers/imgtool.js';
import { makePodman } from '../helpers/podman.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';

describe('imgtool, the built program', () => {
  it('tells the version of package.json', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect((await run(IMGTOOL, ['--version'])).trim()).to.equal(version);
  });

  it('serve: an image pushed by skopeo and pulled by podman has the tree that umoci makes of it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'imgtool-serve-'));
    const layout = join(directory, 'layout');
    const digest = await writeSmallImage(layout);
    await run('umoci', ['unpack', '--image', `${layout}:${SMALL_IMAGE_TAG}`, join(directory, 'bundle')]);
    const server = await startServe(join(directory, 'registry'));
    const podman = await makePodman();
    try {
      const reference = `${server.host}/some/small:1`;
      await skopeoCopy(`oci:${layout}:${SMALL_IMAGE_TAG}`, `docker://${reference}`);
      const inspected = await run('skopeo', [
        'inspect',
        '--tls-verify=false',
        '--format={{.Digest}}',
        `docker://${reference}`,
      ]);
      expect(inspected.trim()).to.equal(digest);
      const tree = await podman.mountImage(await podman.pull(reference));
      expectSameTree(
        listTree(join(directory, 'bundle/rootfs'), { withoutRoot: true }),
        listTree(tree, { withoutRoot: true }),
      );
    } finally {
      await podman.remove();
      const code = await server.stop();
      await rm(directory, { recursive: true, force: true });
      expect(code, 'exit code after SIGTERM').to.equal(0);
    }
  });
});
