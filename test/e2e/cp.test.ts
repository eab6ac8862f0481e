import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

/** One of everything that can be copied out of a container. */
const EVERYTHING = [
  'mkdir -p a/b c; echo 1 >a/one; ln a/one a/b/two; ln -s /nowhere a/link; mkfifo a/pipe',
  'truncate -s 3M sparse; echo end >>sparse; chown 3000000:5 a/one; chmod 4755 a/one; chmod 1777 c; chown 7:8 c',
  `touch "$(printf 'bad\\377name')"; setcap cap_net_raw+ep a/one; setfattr -n user.note -v 0x00ff c; chmod 700 .`,
  'touch -h -d "2001-02-03 04:05:06.789012345" a/link a/pipe a/one sparse; touch -d "1999-01-01 01:01:01.5" a/b a c .',
].join('\n');

describe('cp', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let files: string;
  let box: string;
  let inBox: (path: string) => string;

  before(async () => {
    workspace = await makeWorkspace('cp');
    ({ directory } = workspace);
    [root, files] = [join(directory, 'root'), join(directory, 'files')];
    const base = join(directory, 'base');
    shell(directory, 'mkdir -p base/etc base/srv base/home; echo box >base/etc/name; chmod 1777 base/srv; mkdir files');
    execFileSync('tar', ['-C', base, '-cf', join(directory, 'base.tar'), '.']);
    await imgtool(root, 'import', join(directory, 'base.tar'), 'base:1');
    shell(files, EVERYTHING);
  });
  after(() => workspace.remove());
  beforeEach(async () => {
    box = await imgtool(root, 'create', 'base:1');
    const path = await imgtool(root, 'mount', box);
    inBox = (name) => join(path, name);
  });
  afterEach(() => {
    expect(readdirSync(join(root, 'work'))).to.deep.equal([]);
  });

  const cp = (...args: string[]): Promise<string> => imgtool(root, 'cp', ...args);
  const failing = (args: string[], input: string | Buffer = ''): { status: number | null; error: string } => {
    const { status, stderr } = spawnSync(IMGTOOL, ['--root', root, 'cp', ...args], { input });
    return { status, error: stderr.toString() };
  };
  /** A new directory of this machine. */
  const place = (name: string): string => {
    const path = join(directory, name);
    mkdirSync(path);
    return path;
  };

  it('keeps everything there is to a tree, into a container, between two and out again', async () => {
    const [other, out] = [await imgtool(root, 'create', 'base:1'), join(directory, 'out')];
    await cp(files, `${box}:/srv/new`);
    expectSameTree(listTree(files), listTree(inBox('srv/new')));
    expect(statSync(inBox('srv/new/sparse')).blocks).to.be.lessThan(2000);
    await cp(`${box}:/srv/new`, `${other}:/home`);
    await cp(`${other}:home/new`, out);
    expectSameTree(listTree(files), listTree(out));
    expect(await imgtool(root, 'diff', other)).to.match(/^C \/home\nA \/home\/new\nA \/home\/new\/a\n/);
  });

  it('a copy that is killed leaves no file without its name, which a commit would pack', async () => {
    const big = join(place('big'), 'file');
    execFileSync('dd', ['if=/dev/urandom', `of=${big}`, 'bs=1M', 'count=64', 'status=none']);
    const child = spawn(IMGTOOL, ['--root', root, 'cp', big, `${box}:/srv/file`], { stdio: 'ignore' });
    const inRoot = (): boolean =>
      readdirSync(`/proc/${child.pid}/fd`).some((fd) => {
        const path = linkOf(`/proc/${child.pid}/fd/${fd}`);
        return path.startsWith(inBox('/srv/'));
      });
    while (child.exitCode === null && !inRoot()) await sleep(1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(child.signalCode, 'the copy was quicker than the test').to.equal('SIGKILL');
    expect(readdirSync(inBox('srv'))).to.deep.equal([]);
    await cp(big, `${box}:/srv/file`);
    expect(statSync(inBox('srv/file')).size).to.equal(64 << 20);
  });

  it('says what does not fit', () => {
    const one = join(files, 'a/one');
    for (const [args, status, error] of [
      [[`${box}:/none`, directory], 3, '/none does not exist'],
      [[one, `${box}:/etc/name/`], 2, '/etc/name/ is not a directory'],
      [[files, directory], 2, 'neither path is in a container'],
      [['nobody:/x', directory], 3, 'no container nobody'],
      [['-', directory], 2, 'not a path in a container'],
    ] as const) {
      const result = failing([...args]);
      expect(result.error, args.join(' ')).to.contain(error);
      expect(result.status, args.join(' ')).to.equal(status);
    }
  });

  it('a tar on standard output, and from standard input into a directory', async () => {
    await cp(files, `${box}:/srv/all`);
    const unpacked = place('unpacked');
    const tar = execFileSync(IMGTOOL, ['--root', root, 'cp', `${box}:/srv/all`, '-'], { maxBuffer: 1 << 26 });
    const flags = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-C', unpacked, '-xpf', '-'];
    execFileSync('tar', flags, { input: tar });
    expect(readdirSync(unpacked)).to.deep.equal(['all']);
    expectSameTree(listTree(files), listTree(join(unpacked, 'all')));
    const into = (input: Buffer): void =>
      void execFileSync(IMGTOOL, ['--root', root, '--progress', 'none', 'cp', '-', `${box}:/home`], { input });
    into(tar);
    expectSameTree(listTree(files), listTree(inBox('home/all')));
    into(execFileSync('gzip', ['-c'], { input: execFileSync('tar', ['-C', files, '-cf', '-', 'c']) }));
    expect(readdirSync(inBox('home')).sort()).to.deep.equal(['all', 'c']);
    const one = execFileSync(IMGTOOL, ['--root', root, 'cp', `${box}:/etc/name`, '-']);
    expect(execFileSync('tar', ['-tf', '-'], { input: one }).toString()).to.equal('name\n');
  });

  it('directories that a tar only implies keep what they are', () => {
    const before = statSync(inBox('srv'));
    const input = execFileSync('tar', [
      '-C',
      join(directory, 'base'),
      '-cf',
      '-',
      '--transform',
      's,^,srv/,',
      'etc/name',
    ]);
    execFileSync(IMGTOOL, ['--root', root, 'cp', '-', `${box}:/`], { input });
    expect(readdirSync(inBox('srv/etc'))).to.deep.equal(['name']);
    expect(statSync(inBox('srv')).mode).to.equal(before.mode);
  });

  it('a tar with lib/x goes into /usr/lib where lib is a link to it, hard links too', async () => {
    shell(
      inBox('.'),
      'mkdir -p usr/lib/old usr/share; chmod 711 usr/lib; ln -s usr/lib lib; ln -s /usr/share usr/lib/data',
    );
    const source = place('merged');
    shell(
      source,
      'mkdir -p lib/old lib/data; echo x >lib/x; ln lib/x lib/old/y; ln lib/x z; echo d >lib/data/d; chmod 750 lib/old',
    );
    const members = ['lib/x', 'lib/old', 'z', 'lib/data/d'];
    await run('sh', ['-c', `tar -C ${source} -cf - ${members.join(' ')} | ${IMGTOOL} --root ${root} cp - ${box}:/`]);
    expect(lstatSync(inBox('lib')).isSymbolicLink()).to.equal(true);
    expect(readFileSync(inBox('usr/lib/x'), 'utf8')).to.equal('x\n');
    expect(readFileSync(inBox('usr/share/d'), 'utf8')).to.equal('d\n');
    expect(statSync(inBox('usr/lib/old/y')).ino).to.equal(statSync(inBox('usr/lib/x')).ino);
    expect(statSync(inBox('z')).ino).to.equal(statSync(inBox('usr/lib/x')).ino);
    // What the tar only implies stays as it is, what it names takes its mode.
    expect(statSync(inBox('usr/lib')).mode & 0o777).to.equal(0o711);
    expect(statSync(inBox('usr/lib/old')).mode & 0o777).to.equal(0o750);
  });

  it('a tar goes through links inside the root only: absolute ones, .., a circle, one to nothing', () => {
    const outside = place('outside');
    shell(
      inBox('.'),
      `ln -s ${outside} out; ln -s ../../../../../srv up; ln -s . self; ln -s nowhere dangling; mkdir -p .${outside}`,
    );
    const source = place('links');
    shell(source, 'mkdir -p out up self/self dangling; echo 1 | tee out/o up/u self/self/s >dangling/d');
    const into = (...members: string[]): { status: number | null; error: string } =>
      failing(['-', `${box}:/`], execFileSync('tar', ['-C', source, '-cf', '-', ...members]));
    for (const member of ['out/o', 'up/u', 'self/self/s']) expect(into(member)).to.deep.equal({ status: 0, error: '' });
    expect(readdirSync(outside)).to.deep.equal([]);
    expect(readdirSync(inBox(outside))).to.deep.equal(['o']);
    expect(readdirSync(inBox('srv'))).to.deep.equal(['u']);
    expect(statSync(inBox('s')).size).to.equal(2);
    expect(into('dangling/d').error).to.include(
      'dangling is a symlink at the destination, but a directory at the source',
    );
    const deep = 'self/'.repeat(60);
    expect(into('--transform', `s,^self/self/,${deep},`, 'self/self/s').error).to.include('too many symbolic links');
  });

  it('names that mean whiteouts in layers are names, both ways and in an export', () => {
    const source = place('whiteouts');
    shell(
      source,
      'mkdir d .wh..wh.plnk; echo 1 >.wh.name; echo 2 >d/.wh..wh..opq; echo 3 >.wh.; echo 4 >.wh..wh.plnk/5',
    );
    const input = execFileSync('tar', ['--format=posix', '-C', source, '-cf', '-', '.']);
    expect(failing(['-', `${box}:/srv`], input)).to.deep.equal({ status: 0, error: '' });
    expectSameTree(listTree(source, { withoutRoot: true }), listTree(inBox('srv'), { withoutRoot: true }));
    for (const args of [
      ['cp', `${box}:/srv/.`, '-'],
      ['export', box],
    ]) {
      const unpacked = place(`unpacked-${args[0]}`);
      const tar = execFileSync(IMGTOOL, ['--root', root, ...args], { maxBuffer: 1 << 26 });
      execFileSync('tar', ['-C', unpacked, '-xpf', '-'], { input: tar });
      const tree = args[0] === 'export' ? join(unpacked, 'srv') : unpacked;
      expectSameTree(listTree(source, { withoutRoot: true }), listTree(tree, { withoutRoot: true }));
    }
  });

  it('a bad tar changes nothing', () => {
    const whole = execFileSync('tar', ['-C', files, '-Scf', '-', 'a']);
    const escape = execFileSync('tar', ['-C', files, '-SPcf', '-', '--transform', 's,^a/one,../../one,', 'c', 'a/one']);
    for (const input of [whole.subarray(0, 700), escape, Buffer.from('no tar at all'.repeat(100))]) {
      const { status } = spawnSync(IMGTOOL, ['--root', root, 'cp', '-', `${box}:/home`], { input });
      expect(status).to.equal(6);
      expect(readdirSync(inBox('home'))).to.deep.equal([]);
    }
  });
});

function shell(cwd: string, script: string): void {
  execFileSync('sh', ['-ec', script], { cwd });
}

/** Where a descriptor leads; empty when it is closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
