import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { IMGTOOL, imgtool, mountNew } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

/** One of everything that a file system can hold. */
const EVERYTHING = [
  'mkdir -p a/b c; echo 1 >a/one; ln a/one a/b/two; ln -s /nowhere a/link; mkfifo a/pipe; mknod a/null c 1 3',
  'chown 3000000:5 a/one; chmod 4755 a/one; chmod 1777 c; chown 7:8 c; setfattr -n user.note -v 0x00ff c',
  `touch "$(printf 'bad\\377name')"; setcap cap_net_raw+ep a/one; chmod 700 .`,
  'touch -h -d "2001-02-03 04:05:06.789012345" a/link a/pipe a/one; touch -d "1999-01-01 01:01:01.5" a c .',
].join('\n');

describe('export and import', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let tree: string;
  let tar: string;

  before(async () => {
    workspace = await makeWorkspace('export');
    ({ directory } = workspace);
    [root, tree, tar] = [join(directory, 'root'), join(directory, 'tree'), join(directory, 'tree.tar')];
    await mkdir(tree);
    execFileSync('sh', ['-ec', EVERYTHING], { cwd: tree });
    await run('tar', ['--xattrs', '--xattrs-include=*', '--format=posix', '-C', tree, '-cf', tar, '.']);
  });
  after(() => workspace.remove());

  const blobs = (): Promise<string[]> => readdir(join(root, 'blobs/sha256'));
  const leftovers = async (): Promise<string[]> =>
    (await Promise.all(['work', 'trash', 'ingest'].map((place) => readdir(join(root, place))))).flat();

  it('import makes an image with the tree, the config and the history asked for', async () => {
    const flags = ['-m', 'why', '--change', 'CMD ["sh"]', '--change', 'ENV A=b', '--json'];
    const result = JSON.parse(await imgtool(root, 'import', tar, 'local/tree:1', ...flags)) as Record<string, string>;
    expect(result.name).to.equal('docker.io/local/tree:1');
    expectSameTree(listTree(tree), listTree(await mountNew(root, 'local/tree:1')));
    const config = JSON.parse(await imgtool(root, 'inspect', 'local/tree:1', '--config')) as Record<string, unknown>;
    expect(config).to.deep.include({ os: 'linux', config: { Cmd: ['sh'], Env: ['A=b'] } });
    expect((config.history as object[])[0]).to.deep.include({ comment: 'why' });
    expect(await leftovers()).to.deep.equal([]);
  });

  it('export gives the tree back to GNU tar, on standard output and in a file', async () => {
    const container = await imgtool(root, 'create', 'local/tree:1');
    const file = join(directory, 'out.tar');
    await imgtool(root, 'export', container, '-o', file);
    const piped = execFileSync(IMGTOOL, ['--root', root, 'export', container], { maxBuffer: 1 << 26 });
    expect(piped.equals(await readFile(file))).to.equal(true);
    const unpacked = join(directory, 'unpacked');
    await mkdir(unpacked);
    await run('tar', ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-C', unpacked, '-xpf', file]);
    expectSameTree(listTree(tree), listTree(unpacked));
    expect((await readdir(directory)).sort()).to.deep.equal(
      ['out.tar', 'root', 'root.btrfs', 'root.btrfs.lock', 'tree', 'tree.tar', 'unpacked'].sort(),
    );
    expect((await readdir(join(root, 'layers'))).filter((name) => name.startsWith('.'))).to.deep.equal([]);
  });

  for (const [title, command] of [
    ['zstd', ['zstd', '-qc']],
    ['xz', ['xz', '-1c']],
    ['bzip2', ['bzip2', '-c']],
    ['plain', ['cat']],
  ] as const)
    it(`import from standard input, ${title}`, async () => {
      const input = execFileSync(command[0], [...command.slice(1), tar], { maxBuffer: 1 << 26 });
      const id = execFileSync(IMGTOOL, ['--root', root, '--progress', 'none', 'import', '-'], { input })
        .toString()
        .trim();
      expectSameTree(listTree(tree), listTree(await mountNew(root, id)));
    });

  it('a round trip through export and import is the same layer', async () => {
    const [first, second] = [join(directory, 'out.tar'), join(directory, 'again.tar')];
    const id = await imgtool(root, 'import', first);
    await imgtool(root, 'export', await imgtool(root, 'create', id), '-o', second);
    expect((await readFile(first)).equals(await readFile(second))).to.equal(true);
  });

  const text = Buffer.from('this is no tar '.repeat(100));
  for (const [title, bytes] of [
    ['text', (): Buffer => text],
    ['nothing at all', () => Buffer.alloc(0)],
    ['a tar that is cut off', (whole: Buffer) => whole.subarray(0, 700)],
    ['text compressed with xz', () => execFileSync('xz', ['-c'], { input: text })],
    [
      'a tar compressed with xz that is cut off',
      (whole: Buffer) => execFileSync('xz', ['-c'], { input: whole }).subarray(0, -30),
    ],
    ['bytes that begin like bzip2', () => Buffer.concat([Buffer.from('BZh9'), text])],
    [
      'a name that leaves the root',
      () => execFileSync('tar', ['-cPf', '-', '--transform', 's,.*,../escape,', tar], { maxBuffer: 1 << 26 }),
    ],
  ] as const)
    it(`${title} is refused with exit 6, and nothing is left`, async () => {
      const before = [await blobs(), await readdir(join(root, 'layers')), await readdir(join(root, 'images'))];
      const bad = join(directory, 'bad.tar');
      await writeFile(bad, bytes(await readFile(tar)));
      const { status, stderr } = spawnSync(IMGTOOL, ['--root', root, 'import', bad], { encoding: 'utf8' });
      expect(stderr).to.match(/^imgtool: import .* failed: /m);
      expect(status, stderr).to.equal(6);
      expect([await blobs(), await readdir(join(root, 'layers')), await readdir(join(root, 'images'))]).to.deep.equal(
        before,
      );
      expect(await leftovers()).to.deep.equal([]);
      await rm(bad);
    });

  it('a reader that goes away: exit 141 as with other programs in a pipe, nothing said, no snapshot left', async () => {
    const container = await imgtool(root, 'create', 'local/tree:1');
    await writeFile(join(await imgtool(root, 'mount', container), 'big'), randomBytes(4 << 20));
    const image = await imgtool(root, 'commit', container, 'local/big:1');
    for (const args of [`export ${container}`, `cp ${container}:/big -`, `save ${image}`]) {
      const script = `"${IMGTOOL}" --root "${root}" --progress none ${args} | head -c 10 | wc -c; echo "\${PIPESTATUS[0]}"`;
      const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
      expect([stdout, stderr], args).to.deep.equal(['10\n141\n', '']);
      const full = spawnSync('sh', ['-c', `"${IMGTOOL}" --root "${root}" --progress none ${args} >/dev/full`]);
      expect(full.status, args).to.equal(8);
      expect(full.stderr.toString(), args).to.contain('standard output cannot be written: ENOSPC');
    }
    expect((await readdir(join(root, 'layers'))).filter((name) => name.startsWith('.'))).to.deep.equal([]);
    expect(await leftovers()).to.deep.equal([]);
  });

  it('a file that cannot be written, a name taken by nothing: said, and nothing is left', async () => {
    const container = await imgtool(root, 'create', 'local/tree:1');
    const { status } = spawnSync(IMGTOOL, ['--root', root, 'export', container, '-o', join(directory, 'no/such')]);
    expect(status).to.equal(2);
    expect(spawnSync(IMGTOOL, ['--root', root, 'export', 'nobody']).status).to.equal(3);
    expect(spawnSync(IMGTOOL, ['--root', root, 'import', tar, 'bad/../name']).status).to.equal(2);
  });
});
