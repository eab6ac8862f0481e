import { execFile, execFileSync } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Committed {
  readonly id: string;
  readonly name: string;
}
interface Failed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
interface Inspected {
  readonly layers: readonly { readonly chainId: string }[];
}

/** Subvolumes in one another and beside one another, with all that a file can be. */
const SUBVOLUMES = [
  'btrfs -q subvolume create srv/vol; cd srv/vol; chown 12:34 .; chmod 2750 .',
  'echo one >a; ln a b; ln -s a sym; mkfifo pipe; mknod dev c 1 3; setfattr -n user.x -v y a; chown 5:6 a; chmod 4711 a',
  'perl -MIO::Socket::UNIX -e \'IO::Socket::UNIX->new(Local => "sock", Listen => 1)\'',
  'mkdir -p deep/er; btrfs -q subvolume create deep/er/inner; echo two >deep/er/inner/f; chmod 700 deep/er/inner',
  'truncate -s 1M deep/er/inner/sparse; btrfs -q subvolume create deep/er/inner/innermost; echo 3 >deep/er/inner/innermost/f',
  'touch -d 2001-02-03 deep/er/inner/innermost deep/er/inner deep/er . ..',
  'btrfs property set -ts deep/er/inner ro true',
].join('\n');

describe('what a command does to its own btrfs', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let name: string;

  before(async () => {
    workspace = await makeWorkspace('own-btrfs');
    ({ directory, root } = workspace);
    ({ name } = await workspace.serveSmallImage());
    await imgtool(root, 'pull', name);
  });
  after(() => workspace.remove());

  const shell = (cwd: string, script: string): string =>
    execFileSync('sh', ['-ec', script], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const commit = async (...args: string[]): Promise<Committed> =>
    JSON.parse(await imgtool(root, 'commit', ...args, '--json')) as Committed;
  const fails = async (...args: string[]): Promise<Failed> =>
    promisify(execFile)(IMGTOOL, ['--root', root, '--progress', 'none', ...args]).then(
      () => expect.fail(`${args.join(' ')} ended with 0`),
      (error: Failed) => error,
    );
  const layerOf = async (image: string): Promise<string> => {
    const { layers } = JSON.parse(await imgtool(root, 'inspect', image)) as Inspected;
    return join(root, 'layers', layers.at(-1)!.chainId.slice('sha256:'.length));
  };

  async function box(container: string, script: string, image = name): Promise<string> {
    await imgtool(root, 'create', '--name', container, image);
    const files = await imgtool(root, 'mount', container);
    shell(files, script);
    return files;
  }

  it('a root and a subvolume set read-only stop no command, of that container or of another', async () => {
    const files = await box('sealed', 'mkdir old; btrfs -q subvolume create new; touch new/f');
    await box('other', 'touch more');
    shell(files, 'btrfs property set -ts new ro true; btrfs property set -ts . ro true');
    expect(await imgtool(root, 'diff', 'sealed')).to.contain('/new/f');
    for (const container of ['sealed', 'other']) await commit(container, `local/${container}:1`);
    await imgtool(root, 'store', 'gc');
    await imgtool(root, 'rm', 'sealed', 'other');
    expect(shell(root, 'ls trash work containers')).to.not.match(/[0-9a-f]{32}/);
  });

  it('an immutable root with immutable subvolumes inside is removed', async () => {
    await box(
      'immutable',
      `mkdir d; btrfs -q subvolume create d/v; btrfs -q subvolume create d/v/w; chattr +i d/v/w d/v d .`,
    );
    await imgtool(root, 'rm', 'immutable');
    expect(shell(root, 'ls trash containers')).to.not.match(/[0-9a-f]{32}/);
  });

  it('files of subvolumes are in diff, export, cp and commit, and the layer has real directories', async () => {
    const files = await box('volumes', SUBVOLUMES);
    const diff = JSON.parse(await imgtool(root, 'diff', 'volumes', '--json')) as { kind: string; path: string }[];
    for (const path of ['', '/a', '/b', '/sym', '/sock', '/deep/er/inner/f', '/deep/er/inner/innermost/f'])
      expect(diff).to.deep.include.members([diff.find((change) => change.path === `/srv/vol${path}`)]);
    const { id } = await commit('volumes', 'local/volumes:1');
    const layer = await layerOf(id);
    expect(listTree(layer)).to.deep.equal(listTree(files));
    expect((await stat(join(layer, 'srv/vol'))).ino).to.be.greaterThan(256);

    const [out, copied] = [join(directory, 'exported'), join(directory, 'copied')];
    for (const path of [out, copied]) await mkdir(path);
    await imgtool(root, 'export', 'volumes', '-o', join(directory, 'volumes.tar'));
    shell(out, `tar -xpf ../volumes.tar --xattrs --xattrs-include='*' --numeric-owner`);
    await imgtool(root, 'cp', 'volumes:/srv/vol', copied);
    // Sockets have no form in a tar, and cp leaves them and devices out.
    shell(files, 'rm srv/vol/sock; touch -d 2001-02-03 srv/vol');
    expectSameTree(listTree(join(out, 'srv')), listTree(join(files, 'srv')));
    shell(files, 'rm srv/vol/dev; touch -d 2001-02-03 srv/vol');
    expectSameTree(listTree(join(copied, 'vol')), listTree(join(files, 'srv/vol')));

    await box('child', 'echo more >srv/vol/deep/er/inner/new; rm -r srv/vol/deep/er/inner/innermost', id);
    await commit('child', 'local/child:1');
    expect(await imgtool(root, 'diff', 'child')).to.match(/D \/srv\/vol\/deep\/er\/inner\/innermost/);
    shell(files, 'btrfs property set -ts srv/vol/deep/er/inner ro false; rm -r srv/vol');
    expect(await imgtool(root, 'diff', 'volumes')).to.not.contain('vol');
    await imgtool(root, 'rm', 'volumes', 'child');
  });

  it('a committed layer has no inode flags and no properties; a child removes the files', async () => {
    const script = [
      'mkdir keep flags; echo x >flags/i; echo x >flags/a; touch flags/C; chattr +C flags/C; echo cow >>flags/C; ln flags/C linked',
      'echo z >flags/z; btrfs property set flags/z compression zstd; chattr +d +A flags/z; btrfs property set keep compression none',
      'chattr +i flags/i flags; chattr +a flags/a; chattr +i srv/noted; touch -d 2001-02-03 keep',
    ];
    const files = await box('flags', script.join('\n'));
    const before = listTree(files);
    const { id } = await commit('flags', 'local/flags:1');
    const layer = await layerOf(id);
    expect(shell(layer, 'lsattr -aR . 2>/dev/null | grep -E "^-*[a-zA-Z][-a-zA-Z]* " || true')).to.equal('');
    expect(shell(layer, 'getfattr -R -m ^btrfs .')).to.equal('');
    for (const tree of [before, listTree(layer)])
      for (const entry of tree.values()) delete (entry.xattrs as Record<string, string>)['btrfs.compression'];
    const plain = (tree: typeof before): unknown[] => [...tree.values()].map(({ xattrs: _xattrs, ...entry }) => entry);
    expect(plain(listTree(layer))).to.deep.equal(plain(before));
    await box('heir', 'rm -r flags linked srv/noted', id);
    await commit('heir', 'local/heir:1');
    // The container keeps what it has.
    expect(shell(files, 'lsattr -d flags')).to.match(/^\S*i/);
    await imgtool(root, 'rm', 'flags', 'heir');
  });

  it('fsck notices flags in a layer of an older version, and brings back the layer without', async () => {
    await box('older', 'echo x >f');
    const { id } = await commit('older', 'local/older:1');
    const layer = await layerOf(id);
    shell(layer, 'btrfs property set -ts . ro false; chattr +i f; btrfs property set -ts . ro true');
    const { code, stdout } = await fails('store', 'fsck', '--json');
    expect(code).to.equal(7);
    // One finding: all other layers committed here are as their blobs say.
    const { findings } = JSON.parse(stdout) as { findings: { problem: string }[] };
    expect(findings).to.have.lengthOf(1);
    expect(JSON.stringify(findings)).to.contain('flags that are not in its blob (lsattr): /f');
    await imgtool(root, 'store', 'fsck', '--repair');
    expect(shell(await layerOf(id), 'lsattr f')).to.match(/^-+m?-* /);
    await imgtool(root, 'rm', 'older');
  });

  it('a swap file in use: diff, commit and rm say swapoff and change nothing', async () => {
    const files = await box(
      'swapping',
      'touch swap; chmod 600 swap; chattr +C swap; fallocate -l 4M swap; mkswap -q swap',
    );
    shell(files, 'swapon swap');
    try {
      for (const command of ['diff', 'commit', 'rm']) {
        const { code, stderr } = await fails(command, 'swapping');
        expect(stderr, command).to.match(/in use as swap space\nhint: .*swapoff/);
        expect(code, command).to.equal(7);
      }
      expect(await imgtool(root, 'containers')).to.contain('swapping');
      expect(shell(root, 'ls trash')).to.equal('');
    } finally {
      shell(files, 'swapoff swap');
    }
    await commit('swapping');
    await imgtool(root, 'rm', 'swapping');
  });

  it('a file that a loop device uses: rm names the device and changes nothing', async () => {
    const files = await box('looping', 'truncate -s 1M disk');
    const device = shell(files, 'losetup --show -f disk').trim();
    try {
      const { code, stderr } = await fails('rm', 'looping');
      expect(stderr).to.match(new RegExp(`${device} uses the file .*/disk\nhint: .*losetup -d ${device}`));
      expect(code).to.equal(7);
      expect(await imgtool(root, 'containers')).to.contain('looping');
    } finally {
      shell(files, `losetup -d ${device}`);
    }
    await imgtool(root, 'rm', 'looping');
  });
});
