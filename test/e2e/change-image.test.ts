import { execFileSync } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { imgtool, type Served } from '../helpers/imgtool.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { writeTar } from '../helpers/tar-writer.js';
import { expectSameTree, listTree, type TreeEntry } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Inspected {
  readonly id: string;
  readonly author: string | null;
  readonly config: { readonly Cmd?: readonly string[]; readonly Env?: readonly string[] };
  readonly layers: readonly { readonly digest: string; readonly diffId: string }[];
  readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
}

describe('config, append, flatten, rebase', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let base: string;
  let server: Served;

  before(async () => {
    workspace = await makeWorkspace('change');
    ({ directory, root } = workspace);
    ({ server, name: base } = await workspace.serveSmallImage());
    await imgtool(root, 'pull', base);
  });
  after(() => workspace.remove());

  const inspect = async (image: string): Promise<Inspected> =>
    JSON.parse(await imgtool(root, 'inspect', image)) as Inspected;
  const filesOf = async (image: string): Promise<string> =>
    imgtool(root, 'mount', await imgtool(root, 'create', image));
  const treeOf = async (image: string): Promise<Map<string, TreeEntry>> => listTree(await filesOf(image));
  const steps = ({ history }: Inspected): number => history.filter((step) => step.empty_layer !== true).length;
  const fails = async (code: number, said: RegExp, ...args: string[]): Promise<void> => {
    const { message } = await rejection(imgtool(root, ...args));
    expect(message).to.match(said).and.include(`(${code})`);
  };
  /** An image of `image` with what `script` does in it. */
  const edited = async (image: string, script: string, name: string): Promise<void> => {
    const id = await imgtool(root, 'create', image);
    execFileSync('sh', ['-ec', script], { cwd: await imgtool(root, 'mount', id) });
    await imgtool(root, 'commit', id, name);
  };

  it('mutate: other settings, the same layers', async () => {
    const before = await inspect(base);
    const id = await imgtool(
      root,
      'mutate',
      base,
      '--change',
      'CMD ["x"]',
      '-c',
      'ENV A=b',
      '-a',
      'me',
      '-t',
      'local/c:1',
    );
    const after = await inspect('local/c:1');
    expect(after.id).to.equal(id).and.not.equal(before.id);
    expect(after.layers).to.deep.equal(before.layers);
    expect(after.config.Cmd).to.deep.equal(['x']);
    expect(after.config.Env).to.include('A=b');
    expect(after.author).to.equal('me');
    expect(after.history).to.have.length(before.history.length + 1);
    expect(after.history.at(-1)).to.deep.include({ empty_layer: true });
    expect((await inspect(base)).id).to.equal(before.id);
    await fails(2, /nothing is to be changed/, 'mutate', base);
    await fails(3, /no image/, 'config', 'local/none:1', '-c', 'USER x');
  });

  it('append: each tar a layer, its blob as it came, whiteouts in it count', async () => {
    const [one, two] = [join(directory, 'one.tar'), join(directory, 'two.tar.gz')];
    await writeFile(
      one,
      writeTar([
        { path: 'srv', type: 'dir' },
        { path: 'srv/one', content: '1', mode: 0o4755 },
      ]),
    );
    await writeFile(
      two,
      gzipSync(writeTar([{ path: 'srv/.wh.noted' }, { path: 'srv/two', type: 'link', target: 'one' }])),
    );
    const id = await imgtool(root, 'append', base, one, two, '-t', 'local/a:1');
    const [before, after] = await Promise.all([inspect(base), inspect(id)]);
    expect(after.layers).to.have.length(before.layers.length + 2);
    expect(steps(after)).to.equal(after.layers.length);
    for (const [index, file] of [one, two].entries()) {
      const digest = (await run('sha256sum', [file])).split(' ')[0];
      expect(after.layers[before.layers.length + index]!.digest).to.equal(`sha256:${digest}`);
    }
    const changed = (await imgtool(root, 'diff', id, base)).split('\n');
    expect(changed.filter((line) => line !== 'C /srv')).to.deep.equal(['D /srv/noted', 'A /srv/one', 'A /srv/two']);
    await imgtool(root, 'push', id, `${server.host}/some/appended:1`);
    const other = join(directory, 'other');
    try {
      const pulled = await imgtool(other, 'pull', `${server.host}/some/appended:1`);
      expectSameTree(await treeOf(id), listTree(await imgtool(other, 'mount', await imgtool(other, 'create', pulled))));
    } finally {
      await run('umount', [other]).catch(() => undefined);
    }
    await fails(2, /cannot be read/, 'append', base, join(directory, 'none.tar'));
  });

  it('append: a bad tar makes nothing', async () => {
    const bad = join(directory, 'bad.tar');
    await writeFile(bad, 'no tar at all'.repeat(100));
    const blobs = async (): Promise<string[]> => (await readdir(join(root, 'blobs/sha256'))).sort();
    const before = await blobs();
    await fails(6, /tar/, 'append', base, bad, '-t', 'local/bad:1');
    expect(await blobs()).to.deep.equal(before);
    for (const place of ['work', 'ingest']) expect(await readdir(join(root, place))).to.deep.equal([]);
  });

  it('flatten: one layer, the same files, the same ID whenever it is done', async () => {
    process.env.SOURCE_DATE_EPOCH = '2000000000';
    try {
      const id = await imgtool(root, 'flatten', base, '-t', 'local/flat:1');
      const flat = await inspect(id);
      expect(flat.layers).to.have.length(1);
      expect(steps(flat)).to.equal(1);
      expect(flat.config).to.deep.equal((await inspect(base)).config);
      expectSameTree(await treeOf(base), await treeOf(id));
      expect(await imgtool(root, 'diff', id, base)).to.equal('');
    } finally {
      delete process.env.SOURCE_DATE_EPOCH;
    }
  });

  it('rebase: the own layers of an image on another one', async () => {
    await edited(base, 'echo app >srv/app; rm usr/bin/ping', 'local/app:1');
    await edited(base, 'echo update >etc/update', 'local/base:2');
    await imgtool(root, 'rebase', 'local/app:1', '--onto', 'local/base:2', '--from', base, '-t', 'local/app:2');
    const [app, lower, result] = await Promise.all(['local/app:1', 'local/base:2', 'local/app:2'].map(inspect));
    const diffIds = ({ layers }: Inspected): string[] => layers.map(({ diffId }) => diffId);
    expect(diffIds(result!)).to.deep.equal([...diffIds(lower!), diffIds(app!).at(-1)]);
    expect(steps(result!)).to.equal(result!.layers.length);
    const changed = (await imgtool(root, 'diff', 'local/app:2', 'local/app:1')).split('\n');
    expect(changed.filter((line) => !line.startsWith('C '))).to.deep.equal(['A /etc/update']);
    await fails(2, /is not based on/, 'rebase', 'local/app:1', '--onto', base, '--from', 'local/base:2');
    await fails(2, /--onto/, 'rebase', 'local/app:1');
  });
});
