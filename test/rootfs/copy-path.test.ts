import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { copyPath, type CopyInput } from '../../lib/rootfs/index.js';
import { getXattr, setXattr } from '../../lib/sys/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { rejection } from '../helpers/rejection.js';

describe('copyPath', () => {
  let directory: string;
  let root: string;
  let notes: string[];
  const inRoot = (path: string): string => join(root, path);
  const here = (path: string): CopyInput['from'] => ({
    root: undefined,
    path: path.startsWith('/') ? path : `${directory}/${path}`,
  });
  const there = (path: string): CopyInput['from'] => ({ root, path });
  const copy = (from: CopyInput['from'], to: CopyInput['to'], followLink = false): Promise<unknown> =>
    copyPath({ from, to, followLink, signal: AbortSignal.timeout(60_000), onNote: (line) => void notes.push(line) });

  beforeEach(() => {
    notes = [];
    directory = mkdtempSync(join(tmpdir(), 'imgtool-copy-path-'));
    root = join(directory, 'root');
    shell(directory, 'mkdir -p root/etc root/home tree/sub; echo box >root/etc/name; echo 1 >one; echo 2 >tree/two');
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('names what it makes as docker cp does', async () => {
    await copy(here('one'), there('/etc'));
    await copy(here('one'), there('etc/renamed'));
    await copy(here('tree'), there('/etc'));
    await copy(here('tree/.'), there('/home/'));
    await copy(here('tree/.'), there('/fresh'));
    await copy(here('tree'), there('/etc/tree/new'));
    await copy(there('/etc/name'), here('.'));
    await copy(there('/etc/name'), here('again'));
    expect(readdirSync(inRoot('etc')).sort()).to.deep.equal(['name', 'one', 'renamed', 'tree']);
    expect(readdirSync(inRoot('etc/tree')).sort()).to.deep.equal(['new', 'sub', 'two']);
    for (const path of ['home', 'fresh', 'etc/tree/new'])
      expect(readdirSync(inRoot(path)).sort(), path).to.deep.equal(['sub', 'two']);
    expect(readdirSync(directory).sort()).to.deep.equal(['again', 'name', 'one', 'root', 'tree']);
  });

  it('says what does not fit', async () => {
    for (const [from, to, name, message] of [
      [there('/none'), here('.'), 'NotFoundError', '/none does not exist'],
      [here('one'), there('/none/one'), 'NotFoundError', '/none/one does not exist'],
      [here('one'), there('/none/'), 'NotFoundError', '/none/ does not exist'],
      [here('one'), there('/etc/name/'), 'UsageError', '/etc/name/ is not a directory'],
      [there('/etc/name/.'), here('.'), 'UsageError', '/etc/name/. is not a directory'],
      [here('tree'), there('/etc/name'), 'UsageError', 'a directory'],
      [there('/'), there('/home'), 'UsageError', 'copied into itself'],
    ] as const) {
      const error = await rejection(copy(from, to));
      expect(error.name, from.path).to.equal(name);
      expect(error.message).to.contain(message);
    }
    expect(readdirSync(inRoot('etc'))).to.deep.equal(['name']);
  });

  it('links of a root lead nowhere outside of it, on either side', async () => {
    const outside = join(directory, 'outside');
    const up = '../'.repeat(20);
    shell(directory, 'mkdir outside; echo secret >outside/secret');
    shell(
      root,
      `ln -s ${outside} abs; ln -s ${up}${outside} rel; ln -s ${outside}/secret file; ln -s loop loop; ln -s /etc in`,
    );
    for (const from of ['/abs/secret', '/rel/secret', `${up}${outside}/secret`, '/abs/.'])
      expect((await rejection(copy(there(from), here('taken')))).name, from).to.equal('NotFoundError');
    expect((await rejection(copy(there('/file'), here('taken'), true))).name).to.equal('NotFoundError');
    expect((await rejection(copy(there('/loop/x'), here('taken')))).name).to.equal('UsageError');
    for (const to of ['/abs/new', '/rel/new', `${up}${outside}/new`])
      expect((await rejection(copy(here('one'), there(to)))).name, to).to.equal('NotFoundError');
    expect(existsSync(join(directory, 'taken'))).to.equal(false);
    mkdirSync(inRoot(outside), { recursive: true });
    await copy(here('one'), there('/abs/new'));
    await copy(here('tree'), there('/rel'));
    await copy(here('one'), there('/file'));
    await copy(here('one'), there('/in/through'));
    expect(readdirSync(inRoot(outside)).sort()).to.deep.equal(['new', 'secret', 'tree']);
    expect(readdirSync(inRoot('etc')).sort()).to.deep.equal(['name', 'through']);
    // What is merged over links takes their place instead of going through them.
    shell(root, `mkdir merge merge2; ln -s ${outside}/secret merge/two; ln -s ${outside} merge2/sub`);
    await copy(here('tree/.'), there('/merge'));
    expect(lstatSync(inRoot('merge/two')).isFile()).to.equal(true);
    expect((await rejection(copy(here('tree/.'), there('/merge2')))).message).to.contain(
      'sub is a symlink at the destination',
    );
    expect(readdirSync(outside)).to.deep.equal(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).to.equal('secret\n');
  });

  it('a link is copied as a link, or followed inside the root', async () => {
    shell(root, 'ln -s /etc/name link');
    await copy(there('/link'), here('.'));
    await copy(there('/link'), here('followed'), true);
    expect(readlinkSync(join(directory, 'link'))).to.equal('/etc/name');
    expect(readFileSync(join(directory, 'followed'), 'utf8')).to.equal('box\n');
  });

  it('says which attributes the other side does not take, also of the directory itself', async () => {
    setXattr(Buffer.from(join(directory, 'tree')), Buffer.from('trusted.mark'), Buffer.from('x'));
    shell(directory, 'mkdir bare; mount -t ramfs ramfs bare');
    try {
      await copy(here('tree/.'), here('bare/new'));
      expect(readdirSync(join(directory, 'bare/new')).sort()).to.deep.equal(['sub', 'two']);
      expect(notes).to.deep.equal(['attribute trusted.mark left out: not supported at the destination']);
    } finally {
      shell(directory, 'umount bare');
    }
  });

  it('an attribute too large for the other file system is left out, not taken for a full disk', async () => {
    const source = btrfsDirectory('copy-path');
    writeFileSync(join(source, 'file'), 'content');
    setXattr(join(source, 'file'), 'user.large', Buffer.alloc(12_000, 1));
    await copy({ root: source, path: '/file' }, here('.'));
    expect(readFileSync(join(directory, 'file'), 'utf8')).to.equal('content');
    // tmpfs and btrfs take it, ext4 does not.
    const isKept = getXattr(join(directory, 'file'), 'user.large') !== undefined;
    expect(notes).to.deep.equal(isKept ? [] : ['attribute user.large left out: not supported at the destination']);
  });

  it('devices go into roots and not out of them', async () => {
    shell(directory, 'mkdir dev; mknod dev/null c 1 3; echo x >dev/plain');
    await copy(here('dev'), there('/'));
    expect(lstatSync(inRoot('dev/null')).isCharacterDevice()).to.equal(true);
    await copy(there('/dev'), here('out'));
    expect(readdirSync(join(directory, 'out'))).to.deep.equal(['plain']);
    expect(notes.join()).to.contain('null left out');
  });

  it('a path exchanged for links while it is copied leads nowhere outside', async () => {
    const [outside, taken] = [join(directory, 'outside'), join(directory, 'taken')];
    shell(directory, 'mkdir outside taken');
    writeFileSync(join(outside, 'secret'), 'secret');
    shell(root, `mkdir -p real/deep; echo inside >real/deep/secret; ln -s ${outside} trap; mkdir -p .${outside}`);
    const swap = `const fs = require('fs'); process.chdir(process.argv[1]); fs.writeSync(1, '.');
      for (;;) { fs.renameSync('real/deep', 'aside'); fs.renameSync('trap', 'real/deep');
      fs.renameSync('real/deep', 'trap'); fs.renameSync('aside', 'real/deep'); }`;
    const attacker = spawn(process.execPath, ['-e', swap, root], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      await once(attacker.stdout, 'data');
      let rounds = 0;
      const attempt = (from: CopyInput['from'], to: CopyInput['to']): Promise<unknown> =>
        copy(from, to).catch((error: Error) => expect(error.name, error.stack).to.match(/NotFound|Syscall|Usage/));
      // On a busy machine the first rounds may all meet the same state.
      while (rounds < 40 || (!existsSync(join(taken, 'got')) && rounds < 5000)) {
        rounds += 1;
        await attempt(there('/real/deep/secret'), { root: undefined, path: join(taken, 'got') });
        await attempt(here('one'), there('/real/deep/written'));
        await attempt(here('tree'), there('/real'));
        await attempt(there('/real/.'), { root: undefined, path: taken });
      }
    } finally {
      attacker.kill('SIGKILL');
      await once(attacker, 'close');
    }
    expect(readdirSync(outside)).to.deep.equal(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).to.equal('secret');
    const copied = execFileSync('find', [taken, '-type', 'f', '-exec', 'cat', '{}', '+']).toString();
    expect(copied).to.contain('inside').and.not.contain('secret');
  });
});

function shell(cwd: string, script: string): void {
  execFileSync('sh', ['-ec', script], { cwd });
}
