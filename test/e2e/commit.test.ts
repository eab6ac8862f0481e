import { execFileSync, spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { IMGTOOL, imgtool, type Served } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface DiffEntry {
  readonly kind: string;
  readonly path: string;
  readonly changed: readonly string[];
}
interface Committed {
  readonly id: string;
  readonly digest: string;
  readonly bytes: number;
  readonly layers: readonly { readonly digest: string; readonly state: string }[];
}
interface Manifest {
  readonly mediaType: string;
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}
interface Config {
  readonly created: string;
  readonly author?: string;
  readonly config: Record<string, unknown>;
  readonly history: readonly Record<string, unknown>[];
}

/** Every kind of change the format knows, beside what the small image holds. */
const EDITS = [
  'echo more >>srv/noted; echo same >new; ln new new-link; ln -s /nowhere sym; mkfifo pipe2; mknod node b 7 9',
  'mkdir -p deep/er; echo x >deep/er/f; chown 1234:4321 deep/er/f; chmod 4755 deep/er/f; chmod 1777 deep',
  'touch -h -d "2001-02-03 04:05:06.789012345" deep/er/f sym pipe2; setfattr -n user.note -v 0x00ff deep',
  'rm -r bin; echo "a file now" >bin; rm srv/third; mv srv moved',
  `touch "$(printf 'bad\\377name')"; setcap cap_net_raw+ep deep/er/f`,
];

describe('diff and commit', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let name: string;
  let server: Served;

  before(async () => {
    workspace = await makeWorkspace('commit');
    ({ directory, root } = workspace);
    ({ server, name } = await workspace.serveSmallImage());
    await imgtool(root, 'pull', name);
  });
  after(() => workspace.remove());

  const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await imgtool(root, ...args, '--json')) as T;
  const edit = (files: string, script: string): void => void execFileSync('sh', ['-ec', script], { cwd: files });
  const blobPath = (digest: string): string => join(root, 'blobs/sha256', digest.slice('sha256:'.length));
  const readBlob = async <T>(digest: string): Promise<T> => JSON.parse(await run('cat', [blobPath(digest)])) as T;

  /** A container with `script` run in it; resolves with the directory of its files. */
  async function changed(container: string, script: string): Promise<string> {
    await imgtool(root, 'create', '--name', container, name);
    const files = await imgtool(root, 'mount', container);
    edit(files, script);
    return files;
  }

  /** The image as an OCI layout, made from the store's blobs by hand. */
  async function layoutOf({ digest }: Committed): Promise<string> {
    const layout = await mkdtemp(join(directory, 'out-'));
    await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
    const manifest = await readBlob<Manifest>(digest);
    const parts = [digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)];
    for (const part of parts) await copyFile(blobPath(part), join(layout, 'blobs/sha256', part.slice(7)));
    const size = (await run('stat', ['-c', '%s', blobPath(digest)])).trim();
    const entry = { mediaType: manifest.mediaType, digest, size: Number(size) };
    const named = { ...entry, annotations: { 'org.opencontainers.image.ref.name': '1' } };
    await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
    return layout;
  }

  it('an unchanged container has no diff and makes no image', async () => {
    await imgtool(root, 'create', '--name', 'same', name);
    expect(await json<DiffEntry[]>('diff', 'same')).to.deep.equal([]);
    await imgtool(root, 'commit', 'same').then(
      () => expect.fail('committed'),
      (error: Error) => expect(error.message).to.match(/\(2\).*nothing has changed[^\n]*\nhint: use --empty-ok/s),
    );
    const { layers } = await json<Committed>('commit', 'same', '--empty-ok');
    expect(layers.map(({ state }) => state)).to.not.include('packed');
  });

  const single: readonly { title: string; script: string; want: readonly [string, string, string?][] }[] = [
    { title: 'chmod only', script: 'chmod 600 srv/noted', want: [['C', '/srv/noted', 'mode']] },
    { title: 'chown only', script: 'chown 5:6 srv/noted', want: [['C', '/srv/noted', 'owner']] },
    { title: 'xattr only', script: 'setfattr -n user.a -v b srv/noted', want: [['C', '/srv/noted', 'xattr']] },
    { title: 'mtime only', script: 'touch -d 2001-01-01 srv/noted', want: [['C', '/srv/noted', 'mtime']] },
    {
      title: 'a rewrite of the same size with the same time',
      script:
        't=$(stat -c %y srv/noted); tr a-z b-za <srv/noted >/tmp/x.$$; cat /tmp/x.$$ >srv/noted; rm /tmp/x.$$; touch -d "$t" srv/noted',
      want: [['C', '/srv/noted', 'content']],
    },
    {
      title: 'a renamed file',
      script: 'mv srv/noted srv/renamed; touch -d 2001-01-01 srv',
      want: [
        ['C', '/srv', 'mtime'],
        ['D', '/srv/noted'],
        ['A', '/srv/renamed'],
      ],
    },
    {
      title: 'a directory replaced by a new one of that name',
      script: 'rm -r usr/bin; mkdir usr/bin; echo x >usr/bin/only; touch -d 2001-01-01 usr usr/bin',
      want: [
        ['C', '/usr', 'mtime'],
        ['C', '/usr/bin', 'mtime'],
        ['A', '/usr/bin/only'],
        ['D', '/usr/bin/ping'],
        ['D', '/usr/bin/su'],
      ],
    },
    {
      title: 'a hard link added',
      script: 'ln srv/noted srv/again; touch -d 2001-01-01 srv',
      want: [
        ['C', '/srv', 'mtime'],
        ['A', '/srv/again'],
        ['C', '/srv/noted', 'link'],
      ],
    },
  ];
  for (const [number, { title, script, want }] of single.entries())
    it(`sees ${title}, packs it, and it is right elsewhere`, async () => {
      const container = `single${number}`;
      const files = await changed(container, script);
      const got = await json<DiffEntry[]>('diff', container);
      expect(got.map(({ kind, path, changed: aspects }) => [kind, path, ...aspects])).to.deep.equal(want);
      const committed = await json<Committed>('commit', container);
      const bundle = join(directory, `bundle-${number}`);
      await run('umoci', ['unpack', '--image', `${await layoutOf(committed)}:1`, bundle]);
      expectSameTree(listTree(files), listTree(join(bundle, 'rootfs')));
    });

  it('round trip: a commit of everything, unpacked by umoci and pulled by imgtool, is the container', async () => {
    const files = await changed('all', EDITS.join('\n'));
    const committed = await json<Committed>('commit', 'all', `${server.host}/some/all:1`, '-m', 'all of it');
    const want = listTree(files);
    const layout = await layoutOf(committed);
    await run('umoci', ['unpack', '--image', `${layout}:1`, join(directory, 'bundle-all')]);
    expectSameTree(want, listTree(join(directory, 'bundle-all/rootfs')));

    await skopeoCopy(`oci:${layout}:1`, `docker://${server.host}/some/all:1`);
    const other = join(directory, 'other');
    expect(await imgtool(other, 'pull', `${server.host}/some/all:1`)).to.equal(committed.id);
    await imgtool(other, 'create', '--name', 'all', `${server.host}/some/all:1`);
    expectSameTree(want, listTree(await imgtool(other, 'mount', 'all')));

    // The frozen snapshot is the layer: a container of it has the files without anything unpacked.
    await imgtool(root, 'create', '--name', 'next', committed.id);
    expectSameTree(want, listTree(await imgtool(root, 'mount', 'next')));
    expect(await json<DiffEntry[]>('diff', 'next')).to.deep.equal([]);
    expect(committed.layers.filter(({ state }) => state === 'packed')).to.have.length(1);
    expect((await json<DiffEntry[]>('diff', committed.id)).length).to.be.greaterThan(10);
    for (const place of ['work', 'trash', 'ingest']) expect(await readdir(join(root, place)), place).to.deep.equal([]);
  });

  it('the container goes on, and its diff is against what it was made from', async () => {
    const files = await changed('going', 'echo 1 >first');
    const one = await json<Committed>('commit', 'going');
    edit(files, 'echo 2 >second');
    const paths = (await json<DiffEntry[]>('diff', 'going')).map(({ path }) => path);
    expect(paths).to.deep.equal(['/', '/first', '/second'].filter((path) => path !== '/' || paths.includes('/')));
    const stat = (await imgtool(root, 'diff', 'going', '--stat')).split('\n');
    expect(stat).to.include('A /second  (+2B)');
    expect(stat.at(-1)).to.match(/^2 added, [01] changed, 0 deleted; files of 4B$/);
    const two = await json<Committed>('commit', 'going');
    expect(two.layers.length).to.equal(one.layers.length);
    const between = (await json<DiffEntry[]>('diff', two.id, one.id)).map(({ kind, path }) => `${kind} ${path}`);
    expect(between).to.include('A /second').and.not.include('A /first');
  });

  it('--change, -m and --author go into config and history; names move', async () => {
    await changed('config', 'echo 1 >first');
    const flags = ['-m', 'why', '--author', 'me', '--change', 'CMD ["a", "b"]', '--change', 'ENV X=1 Y="2 3"'];
    const { digest, id } = await json<Committed>('commit', 'config', 'local/named:1', ...flags);
    const manifest = await readBlob<Manifest>(digest);
    expect(manifest.config.digest).to.equal(id);
    const { config, history, author } = await readBlob<Config>(id);
    expect(author).to.equal('me');
    expect(config).to.deep.include({ Cmd: ['a', 'b'] });
    expect(config.Env).to.include.members(['X=1', 'Y=2 3']);
    expect(history.at(-1)).to.deep.include({ author: 'me', comment: 'why' });
    expect(history).to.have.length(manifest.layers.length);
    await imgtool(root, 'commit', 'config', 'local/named:1', '--change', 'WORKDIR /x');
    const named = await json<{ id: string; names: string[] }[]>('images');
    expect(named.filter(({ names }) => names.includes('docker.io/local/named:1'))).to.have.length(1);
    expect(named.find(({ names }) => names.includes('docker.io/local/named:1'))!.id).to.not.equal(id);
  });

  it('--squash: one layer, the same tree', async () => {
    const files = await changed('squashed', EDITS.join('\n'));
    const committed = await json<Committed>('commit', 'squashed', '--squash');
    expect(committed.layers).to.have.length(1);
    const bundle = join(directory, 'bundle-squash');
    await run('umoci', ['unpack', '--image', `${await layoutOf(committed)}:1`, bundle]);
    expectSameTree(listTree(files), listTree(join(bundle, 'rootfs')));
  });

  it('SOURCE_DATE_EPOCH: the same changes give the same image', async () => {
    process.env.SOURCE_DATE_EPOCH = '1700000000';
    try {
      const other = join(directory, 'other');
      await imgtool(other, 'pull', name);
      const ids: string[] = [];
      // In two stores, as on two machines.
      for (const store of [root, other]) {
        const container = await imgtool(store, 'create', name);
        edit(await imgtool(store, 'mount', container), 'mkdir d; echo 1 >d/f; echo 2 >srv/noted');
        ids.push(await imgtool(store, 'commit', container));
        if (store === root) await imgtool(root, 'rm', container);
      }
      expect(ids[0]).to.equal(ids[1]);
      expect((await readBlob<Config>(ids[0]!)).created).to.equal('2023-11-14T22:13:20Z');
      const want = await imgtool(other, 'diff', ids[0]!);
      expect(want).to.include('A /d/f');
      // No word of a walk: the record of the layer says what its container, which is gone, was made from.
      const { stdout, stderr } = spawnSync(IMGTOOL, ['--root', root, 'diff', ids[0]!], { encoding: 'utf8' });
      expect([stdout.trim(), stderr]).to.deep.equal([want, '']);
    } finally {
      delete process.env.SOURCE_DATE_EPOCH;
    }
  });

  it('a name without a form in a layer: exit 6, the name said, nothing published', async () => {
    await changed('whiteout', 'touch srv/.wh.bad');
    const before = await readdir(join(root, 'blobs/sha256'));
    await imgtool(root, 'commit', 'whiteout').then(
      () => expect.fail('committed'),
      (error: Error) => expect(error.message).to.match(/\(6\).*srv\/\.wh\.bad/s),
    );
    expect(await readdir(join(root, 'blobs/sha256'))).to.deep.equal(before);
    for (const place of ['work', 'trash', 'ingest']) expect(await readdir(join(root, place)), place).to.deep.equal([]);
    expect((await readdir(join(root, 'layers'))).filter((entry) => entry.startsWith('.'))).to.deep.equal([]);
  });
});
