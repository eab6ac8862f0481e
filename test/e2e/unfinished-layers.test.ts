import { execFile, execFileSync } from 'node:child_process';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Finding {
  readonly kind: string;
  readonly subject: string;
  readonly outcome: string;
  readonly hint?: string;
}

/** What a killed process or a power cut leaves, made by hand, and what each command makes of it. */
describe('after a crash: layers without a record, damaged blobs', () => {
  let workspace: Workspace;
  let directory: string;
  let server: Served;
  let name: string;
  let root: string;
  let wanted: ReturnType<typeof listTree>;
  let image: {
    readonly id: string;
    readonly digest: string;
    readonly layers: readonly { chainId: string; digest: string }[];
  };

  const inStore = (...args: string[]): Promise<string> => imgtool(root, ...args);
  const hex = (digest: string): string => digest.slice('sha256:'.length);
  const recordPath = (chainId: string): string => join(root, 'layers', `${hex(chainId)}.json`);
  const blobPath = (digest: string): string => join(root, 'blobs/sha256', hex(digest));
  /** Ends with another exit code than 0: resolves with it and what was said. */
  const failing = (
    ...args: string[]
  ): Promise<{ readonly code: number; readonly stderr: string; readonly stdout: string }> =>
    promisify(execFile)(IMGTOOL, ['--root', root, '--progress', 'none', ...args]).then(
      () => expect.fail(`imgtool ${args.join(' ')} did not fail`),
      (error: { code: number; stderr: string; stdout: string }) => error,
    );
  const fsck = async (...flags: string[]): Promise<readonly Finding[]> => {
    const args = ['--root', root, '--progress', 'none', 'store', 'fsck', '--json', ...flags];
    const { stdout } = await promisify(execFile)(IMGTOOL, args).catch((error: { stdout: string }) => error);
    return (JSON.parse(stdout) as { findings: Finding[] }).findings;
  };
  const treeOf = async (): Promise<ReturnType<typeof listTree>> => {
    await inStore('create', '--name', 'box', name);
    const tree = listTree(await inStore('mount', 'box'));
    await inStore('rm', 'box');
    return tree;
  };
  /** The second layer loses its record, as when a kill comes before it is written, and it and those above a file's bytes. */
  const leaveUnfinished = async (): Promise<void> => {
    for (const { chainId } of image.layers.slice(1)) {
      const damage = 'btrfs property set -f . ro false; : >bin/busybox; btrfs property set -f . ro true';
      execFileSync('sh', ['-ec', damage], { cwd: join(root, 'layers', hex(chainId)) });
    }
    await rm(recordPath(image.layers[1]!.chainId));
  };

  before(async () => {
    workspace = await makeWorkspace('unfinished');
    ({ directory } = workspace);
    server = await startServe(join(directory, 'registry'));
    name = `${server.host}/small:1`;
    await writeSmallImage(join(directory, 'layout'));
    execFileSync('tar', ['-cf', join(directory, 'tar'), '-C', directory, 'layout']);
    await skopeoCopy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, `docker://${name}`);
  });
  after(async () => {
    await server.stop();
    await workspace.remove();
  });
  beforeEach(async () => {
    root = join(btrfsDirectory('unfinished'), 'store');
    await inStore('pull', name);
    image = JSON.parse(await inStore('inspect', name)) as typeof image;
    wanted ??= await treeOf();
  });

  const COMMANDS: readonly { readonly title: string; readonly run: () => Promise<unknown> }[] = [
    { title: 'pull', run: () => inStore('pull', name) },
    { title: 'pull --policy missing', run: () => inStore('pull', '--policy', 'missing', name) },
    { title: 'create', run: () => Promise.resolve() },
    { title: 'load', run: () => inStore('load', '-i', join(directory, 'archive')) },
    { title: 'store fsck --repair', run: () => inStore('store', 'fsck', '--repair') },
    { title: 'store gc', run: () => inStore('store', 'gc') },
    { title: 'append', run: () => inStore('append', '-t', 'local/more:1', name, join(directory, 'tar')) },
  ];
  for (const { title, run } of COMMANDS)
    it(`${title}: a layer without a record is unpacked again, and those made from it`, async () => {
      await inStore('save', '-o', join(directory, 'archive'), name);
      await leaveUnfinished();
      await run();
      expectSameTree(wanted, await treeOf());
      await readFile(recordPath(image.layers[1]!.chainId));
      expect(await fsck()).to.deep.equal([]);
    });

  it('fsck, gc and df find it in a store of an earlier version', async () => {
    await leaveUnfinished();
    const [below, ...above] = image.layers.slice(1).map(({ chainId }) => chainId);
    const found = await fsck('--quick');
    expect(found.filter(({ kind }) => kind === 'layer').map(({ subject }) => subject)).to.have.members([
      below,
      ...above,
    ]);
    expect(found.map(({ kind, subject }) => `${kind} ${subject}`)).to.include(`image ${image.id}`);
    const usage = JSON.parse(await inStore('store', 'df', '--json')) as { layers: { unrecorded: number } };
    expect(usage.layers.unrecorded).to.equal(1);
    const garbage = JSON.parse(await inStore('store', 'gc', '--dry-run', '--json')) as {
      layers: { chainId: string }[];
    };
    expect(garbage.layers.map(({ chainId }) => chainId)).to.have.members([below, ...above]);
  });

  it('commit: the layer it makes takes the place of one without a record', async () => {
    await inStore('create', '--name', 'box', name);
    await writeFile(join(await inStore('mount', 'box'), 'new'), 'new');
    const commit = (): Promise<string> => inStore('commit', 'box', 'local/new:1');
    const { layers } = JSON.parse(await commit().then(() => inStore('inspect', 'local/new:1'))) as typeof image;
    const top = layers.at(-1)!.chainId;
    await rm(recordPath(top));
    const empty = 'btrfs property set -f . ro false; : >new; btrfs property set -f . ro true';
    execFileSync('sh', ['-ec', empty], { cwd: join(root, 'layers', hex(top)) });
    await commit();
    expect(await readFile(join(root, 'layers', hex(top), 'new'), 'utf8')).to.equal('new');
    expect(await fsck()).to.deep.equal([]);
  });

  it('pull brings back a config and a manifest that a power cut has emptied', async () => {
    for (const digest of [image.id, image.digest]) {
      for (const policy of ['always', 'missing']) {
        await truncate(blobPath(digest), 0);
        await inStore('pull', '--policy', policy, name);
        await inStore('inspect', name);
      }
    }
    await truncate(blobPath(image.id), 0);
    const { code, stderr } = await failing('pull', '--policy', 'never', name);
    expect(code).to.equal(3);
    expect(stderr).to.contain('is incomplete in the store');
  });

  it('create says that the blob of this store is damaged, not the image at its source, and pull mends it', async () => {
    const { digest, chainId } = image.layers.at(-1)!;
    await rm(recordPath(chainId));
    const bytes = await readFile(blobPath(digest));
    await writeFile(blobPath(digest), bytes.fill(0, 20));
    const { code, stderr } = await failing('create', name);
    expect(code).to.equal(7);
    expect(stderr)
      .to.contain(`blob ${digest} in the store was damaged`)
      .and.contain('pull or load')
      .and.not.contain('source');
    await inStore('pull', name);
    expectSameTree(wanted, await treeOf());
  });

  it('a layer written just before a power cut is not compared, and unpacked again by the next pull', async () => {
    const { chainId } = image.layers.at(-1)!;
    const record = JSON.parse(await readFile(recordPath(chainId), 'utf8')) as object;
    await writeFile(recordPath(chainId), JSON.stringify({ ...record, sealed: false, bootId: 'an earlier boot' }));
    const { code, stderr } = await failing('diff', name);
    expect(code).to.equal(3);
    expect(stderr).to.contain('pull the image again');
    expect((await fsck('--quick')).map(({ subject }) => subject)).to.include(chainId);
    await inStore('pull', name);
    expectSameTree(wanted, await treeOf());
    await inStore('diff', name);
    expect(await fsck()).to.deep.equal([]);
  });

  it('fsck --repair tells repaired from removed and missing, and what brings back', async () => {
    await inStore('import', join(directory, 'tar'), 'local/imported:1');
    const imported = JSON.parse(await inStore('inspect', 'local/imported:1')) as typeof image;
    const spoil = async (digest: string): Promise<void> => {
      const bytes = await readFile(blobPath(digest));
      bytes[bytes.length >> 1]! ^= 1;
      await writeFile(blobPath(digest), bytes);
    };
    const [pulled, local] = [image.layers[0]!.digest, imported.layers[0]!.digest];
    for (const digest of [pulled, local]) await spoil(digest);
    const unneeded = hex(`sha256:${'0'.repeat(64)}`);
    await writeFile(join(root, 'blobs/sha256', unneeded), 'of nothing');
    const { code, stdout } = await failing('store', 'fsck', '--repair');
    expect(code).to.equal(7);
    expect(stdout).to.match(new RegExp(`${pulled}: .* \\(repaired\\)`));
    expect(stdout).to.match(new RegExp(`${unneeded}: .* \\(removed: nothing needs it\\)`));
    expect(stdout).to.match(new RegExp(`${local}: .* \\(missing; to bring it back: load or import`));
  });
});
