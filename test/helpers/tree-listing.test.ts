import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { setXattr } from '../../lib/sys/index.js';
import { diffTrees, expectSameTree, listTree } from './tree-listing.js';
import { startDockerRegistry } from './docker-registry.js';
import { skopeoCopy } from './skopeo.js';
import { makePodman } from './podman.js';
import { run } from './run.js';
import { writeSmallImage, SMALL_IMAGE_TAG } from './small-image.js';

describe('listTree', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-listing-'));
    mkdirSync(join(directory, 'd'));
    writeFileSync(join(directory, 'd/f'), 'hello');
    writeFileSync(join(directory, 'd/g'), 'hello');
    symlinkSync('f', join(directory, 'd/l'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const edits: readonly { name: string; want: string; edit: (root: string) => void | Promise<void> }[] = [
    { name: 'mode', want: '~ d/f: mode', edit: (root) => chmodSync(join(root, 'd/f'), 0o4711) },
    { name: 'owner', want: '~ d/f: owner', edit: (root) => chown(join(root, 'd/f'), 7, 8) },
    { name: 'size', want: '~ d/f: size', edit: (root) => truncateSync(join(root, 'd/f'), 9) },
    { name: 'content', want: '~ d/f: content', edit: (root) => writeFileSync(join(root, 'd/f'), 'jello') },
    { name: 'mtime of a link', want: '~ d/l: mtime', edit: (root) => lutimesSync(join(root, 'd/l'), 5, 5) },
    {
      name: 'attribute',
      want: '~ d/f: xattrs',
      edit: (root) => setXattr(join(root, 'd/f'), 'user.a', Buffer.from([0, 255])),
    },
    { name: 'removal', want: '- d/l', edit: (root) => rmSync(join(root, 'd/l')) },
    { name: 'new name', want: '+ h', edit: (root) => renameSync(join(root, 'd'), join(root, 'h')) },
    {
      name: 'hard link instead of a copy',
      want: '~ d/g: linkGroup: undefined → "d/f"',
      edit: (root) => {
        rmSync(join(root, 'd/g'));
        linkSync(join(root, 'd/f'), join(root, 'd/g'));
      },
    },
    {
      name: 'target',
      want: '~ d/l: target: "f" → "g"',
      edit: (root) => {
        rmSync(join(root, 'd/l'));
        symlinkSync('g', join(root, 'd/l'));
      },
    },
  ];
  for (const { name, want, edit } of edits)
    it(`shows a changed ${name}`, async () => {
      const before = listTree(directory);
      expect(diffTrees(before, listTree(directory))).to.deep.equal([]);
      await edit(directory);
      expect(diffTrees(before, listTree(directory)).join('\n')).to.include(want);
      expect(() => expectSameTree(before, listTree(directory))).to.throw('trees differ');
    });

  it('podman and umoci, the judges, agree on the small image', async () => {
    const layout = join(directory, 'layout');
    await writeSmallImage(layout);
    await run('umoci', ['unpack', '--image', `${layout}:${SMALL_IMAGE_TAG}`, join(directory, 'bundle')]);
    const byUmoci = listTree(join(directory, 'bundle/rootfs'), { withoutRoot: true });
    const registry = await startDockerRegistry();
    const podman = await makePodman();
    try {
      await skopeoCopy(`oci:${layout}:${SMALL_IMAGE_TAG}`, `docker://${registry.host}/small:1`);
      const id = await podman.pull(`${registry.host}/small:1`);
      expectSameTree(byUmoci, listTree(await podman.mountImage(id), { withoutRoot: true }));
    } finally {
      await podman.remove();
      await registry.stop();
    }
    expect(byUmoci.get('dev/null')?.device).to.equal('1:3');
    expect(byUmoci.get('srv/third')?.linkGroup).to.equal('srv/first');
    expect(byUmoci.get('usr/bin/ping')?.xattrs).to.have.property('security.capability');
    expect(byUmoci.has('etc/motd'), 'a deleted file').to.equal(false);
    expect(byUmoci.has('srv/na\xefve'), 'a name that is not UTF-8').to.equal(true);
  });
});
