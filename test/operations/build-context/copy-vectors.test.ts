import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { CopyStage, makeFiles, own } from '../../imgtool/copy-stage.js';
import { rejection } from '../../helpers/rejection.js';

describe('COPY (vectors C1 to C18, C22, C24)', () => {
  let box: CopyStage;
  const at = (path: string): string => join(box.stage, path);
  const text = (path: string): string => readFileSync(at(path), 'utf8');
  const traits = (path: string): string => {
    const { mode, uid, gid } = lstatSync(at(path));
    return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
  };
  beforeEach(() => (box = new CopyStage()));
  afterEach(() => box.remove());

  it('C1: a destination with a slash is a directory, without one a file', async () => {
    makeFiles(box.context, { f: 'x' });
    await box.copy('COPY f /sample/');
    await box.copy('COPY f /abs');
    expect([text('sample/f'), text('abs')]).to.deep.equal(['x', 'x']);
    expect(traits('sample')).to.equal('755 0:0');
  });

  it('C2: an empty destination is the WORKDIR', async () => {
    makeFiles(box.context, { f: 'x' });
    makeFiles(box.stage, { 'work/': null });
    await box.copy('COPY f $empty', { workdir: '/work', variables: { empty: '' } });
    expect(text('work/f')).to.equal('x');
  });

  it('C3: a new destination is root’s, children keep their owner; an existing one keeps its own', async () => {
    makeFiles(box.source, { 'dir/sub/nested': 'x' });
    own(join(box.source, 'dir'), 100, 200);
    own(join(box.source, 'dir/sub'), 101, 201, 0o700);
    own(join(box.source, 'dir/sub/nested'), 102, 202);
    makeFiles(box.stage, { 'existing/': null });
    own(at('existing'), 500, 600, 0o711);
    await box.copy('COPY --from=s /dir dir', { from: box.source });
    await box.copy('COPY --from=s /dir/. existing', { from: box.source });
    expect(['dir', 'dir/sub', 'dir/sub/nested'].map(traits)).to.deep.equal(['755 0:0', '700 101:201', '644 102:202']);
    expect(['existing', 'existing/sub'].map(traits)).to.deep.equal(['711 500:600', '700 101:201']);
  });

  it('C4: --chown gives all that is made its owner', async () => {
    makeFiles(box.source, { 'dir/sub/nested': 'x' });
    makeFiles(box.stage, { 'existing/': null });
    own(at('existing'), 500, 600);
    await box.copy('COPY --from=s --chown=300:400 /dir new', { from: box.source });
    await box.copy('COPY --from=s --chown=300:400 /dir/. existing', { from: box.source });
    expect(['new', 'new/sub', 'new/sub/nested'].map(traits)).to.deep.equal([
      '755 300:400',
      '755 300:400',
      '644 300:400',
    ]);
    expect(['existing', 'existing/sub'].map(traits)).to.deep.equal(['755 500:600', '755 300:400']);
  });

  it('C5: names of --chown are those of the stage', async () => {
    makeFiles(box.context, { f: 'x' });
    makeFiles(box.stage, { 'etc/passwd': 'daemon:x:1:7:d:/:/bin/sh\n', 'etc/group': 'nobody:x:99:\n' });
    for (const [chown, owner] of [
      ['daemon', '1:7'],
      ['1000:nobody', '1000:99'],
      ['5', '5:5'],
      ['daemon:3', '1:3'],
    ]) {
      await box.copy(`COPY --chown=${chown} f /${owner}`);
      expect(traits(owner!)).to.equal(`644 ${owner}`);
    }
    expect((await rejection(box.copy('COPY --chown=ghost f /x'))).message).to.include('no user "ghost"');
    expect((await rejection(box.copy('COPY --chown=1:ghost f /x'))).message).to.include('no group "ghost"');
  });

  it('C5: /etc/passwd that leads out of the stage, or is a fifo, names nobody (CVE-2024-9676)', async () => {
    makeFiles(box.context, { f: 'x' });
    writeFileSync(join(box.outside, 'passwd'), 'ghost:x:1:1::/:\n');
    makeFiles(box.stage, { 'etc/passwd': `→${join(box.outside, 'passwd')}` });
    expect((await rejection(box.copy('COPY --chown=ghost f /x'))).message).to.include('no user');
  });

  it('C6, C7: files of a stage keep their owners, those of the context are root’s', async () => {
    makeFiles(box.source, { f: 'x' });
    own(join(box.source, 'f'), 66, 67);
    makeFiles(box.context, { f: 'x' });
    own(join(box.context, 'f'), 66, 67);
    await box.copy('COPY --from=s f /stage', { from: box.source });
    await box.copy('COPY f /context');
    expect(['stage', 'context'].map(traits)).to.deep.equal(['644 66:67', '644 0:0']);
  });

  it('C8: globs are those of Go', async () => {
    makeFiles(box.context, { 'f1.go': '1', 'g.go': '2', 'sub/dir1/dir2/foo': 'f', 'sub/x': 'x' });
    await box.copy('COPY *.go /d/');
    await box.copy('COPY f*.go /one.go');
    await box.copy('COPY sub/* /e/');
    await box.copy('COPY sub/*/dir2/foo /g/bar');
    await box.copy('COPY sub/dir1/. /h');
    expect([text('d/f1.go'), text('d/g.go'), text('one.go'), text('g/bar')]).to.deep.equal(['1', '2', '1', 'f']);
    expect([text('e/x'), text('e/dir2/foo'), text('h/dir2/foo')]).to.deep.equal(['x', 'f', 'f']);
  });

  it('C9: a glob may match nothing, a name may not', async () => {
    makeFiles(box.context, { foo: 'x' });
    await box.copy('COPY foo nomatch* /');
    await box.copy('COPY nomatch* /');
    expect(text('foo')).to.equal('x');
    const error = await rejection(box.copy('COPY missing /'));
    expect(error.message).to.match(/^Dockerfile:2: missing is not in the build context/);
  });

  it('C10: links on the way stay inside the tree they are in', async () => {
    makeFiles(box.source, { 'real/foo': 'in', relative: '→real', absolute: '→/real', out: `→${box.outside}` });
    await box.copy('COPY --from=s relative/foo /a', { from: box.source });
    await box.copy('COPY --from=s absolute/foo /b', { from: box.source });
    expect([text('a'), text('b')]).to.deep.equal(['in', 'in']);
    expect((await rejection(box.copy('COPY --from=s out/secret /c', { from: box.source }))).message).to.include(
      'is not in',
    );
    expect((await rejection(box.copy('COPY --from=s /../outside/secret /c', { from: box.source }))).message).to.include(
      'is not in',
    );
  });

  it('C11: a link named as a source is followed, links in a directory stay links', async () => {
    makeFiles(box.context, { bar: 'content', 'dir/l': '→../bar', link: '→../bar' });
    await box.copy('COPY link /');
    await box.copy('COPY dir /d');
    expect(text('link')).to.equal('content');
    expect(lstatSync(at('link')).isSymbolicLink()).to.equal(false);
    expect(readlinkSync(at('d/l'))).to.equal('../bar');
  });

  it('C12: links in the destination are followed inside the stage; --link puts directories in their place', async () => {
    makeFiles(box.context, { f: 'x' });
    makeFiles(box.stage, { 'tmp/': null, symlink: '→../tmp/t', out: `→${box.outside}` });
    await box.copy('COPY f /symlink/');
    expect(text('tmp/t/f')).to.equal('x');
    await box.copy('COPY f /out/secret');
    expect(readFileSync(join(box.outside, 'secret'), 'utf8')).to.equal('must not be seen');
    expect(text(join(box.outside, 'secret').slice(1))).to.equal('x');
    await box.copy('COPY --link f /symlink/');
    expect(lstatSync(at('symlink')).isDirectory()).to.equal(true);
    expect(text('symlink/f')).to.equal('x');
  });

  it('C13: a socket becomes an empty file', async () => {
    const server = createServer();
    makeFiles(box.context, { 'd/': null });
    await new Promise<void>((resolve) => server.listen(join(box.context, 'd/socket'), resolve));
    try {
      await box.copy('COPY d /d');
      expect([lstatSync(at('d/socket')).isFile(), text('d/socket')]).to.deep.equal([true, '']);
    } finally {
      server.close();
    }
  });

  it('C14: --chmod is octal or symbolic', async () => {
    makeFiles(box.context, { 'd/plain': 'x', 'd/run': 'y' });
    chmodSync(join(box.context, 'd'), 0o700);
    chmodSync(join(box.context, 'd/run'), 0o700);
    await box.copy('COPY --chmod=0 d/plain /zero');
    await box.copy('COPY --chmod=777 d /octal');
    await box.copy('COPY --chmod=u=rw,go=r d/run /symbolic');
    await box.copy('COPY --parents --chmod=a+X d /x/');
    expect(['zero', 'octal/plain', 'symbolic', 'x/d', 'x/d/plain', 'x/d/run'].map(traits)).to.deep.equal(
      ['0', '777', '644', '711', '644', '711'].map((mode) => `${mode} 0:0`),
    );
    for (const bad of ['08', '10000', 'u+q'])
      expect((await rejection(box.copy(`COPY --chmod=${bad} d /bad`))).message, bad).to.include('is not a mode');
  });

  it('C15: --parents keeps the path behind the pivot', async () => {
    makeFiles(box.context, { 'a/b/c/d': 'd', 'x/1/f': '1', 'x/2/f': '2', 'x/2/g': 'g' });
    own(join(box.context, 'a/b/c'), 0, 0, 0o750);
    await box.copy('COPY --parents a/b/./c/d /out/');
    await box.copy('COPY --parents x/*/f /glob/');
    await box.copy('COPY --parents none/* /glob/');
    expect([text('out/c/d'), traits('out/c')]).to.deep.equal(['d', '750 0:0']);
    expect([text('glob/x/1/f'), text('glob/x/2/f'), existsSync(at('glob/x/2/g'))]).to.deep.equal(['1', '2', false]);
    expect((await rejection(box.copy('COPY --parents a/missing /x/'))).message).to.include('a/missing is not in');
  });

  it('C16: --exclude leaves files out, ! takes some back', async () => {
    makeFiles(box.context, {
      'd/a.md': '',
      'd/keep.md': '',
      'd/b.txt': '',
      'd/sub/c.md': '',
      'top.md': '',
      'top.go': '',
    });
    await box.copy('COPY --exclude=*.md --exclude=!keep.md d /x');
    expect(['a.md', 'keep.md', 'b.txt', 'sub/c.md'].map((name) => existsSync(at(`x/${name}`)))).to.deep.equal([
      false,
      true,
      true,
      true,
    ]);
    await box.copy('COPY --exclude=**/*.md --exclude=sub d /y');
    expect(['b.txt', 'sub'].map((name) => existsSync(at(`y/${name}`)))).to.deep.equal([true, false]);
    await box.copy('COPY --exclude=*.md top* /z/');
    expect(['top.md', 'top.go'].map((name) => existsSync(at(`z/${name}`)))).to.deep.equal([false, true]);
  });

  it('C17: a directory onto a file is an error; a file goes into a directory', async () => {
    makeFiles(box.context, { 'dir/x': 'x', file: 'f', 'clash/d': 'file' });
    makeFiles(box.stage, { file: 'old', 'd/': null, 'into/': null });
    expect((await rejection(box.copy('COPY dir file'))).message).to.include('/file is a file in the stage');
    await box.copy('COPY file /into/');
    await box.copy('COPY file /d');
    expect([text('into/file'), text('d/file')]).to.deep.equal(['f', 'f']);
    expect((await rejection(box.copy('COPY clash /'))).message).to.include('/d is a directory in the stage');
  });

  it('C18: names of all kinds', async () => {
    makeFiles(box.context, { 'ä+%C3': '1', 'arr[0].txt': '2', 'a b': '3' });
    writeFileSync(Buffer.concat([Buffer.from(`${box.context}/`), Buffer.from([0xff, 0xfe])]), 'bytes');
    await box.copy('COPY ä+%C3 /d/');
    await box.copy('COPY arr[[]0].txt /d/');
    await box.copy('COPY ["a b", "/d/"]');
    await box.copy('COPY . /all');
    expect([text('d/ä+%C3'), text('d/arr[0].txt'), text('d/a b')]).to.deep.equal(['1', '2', '3']);
    expect(box.tree().get('all/\xff\xfe')?.size).to.equal('5');
  });

  it('C22: the ignore file of the Dockerfile wins, and counts for the main context only', async () => {
    makeFiles(box.context, {
      a: '',
      b: '',
      Dockerfile2: '',
      '.dockerignore': 'a\n',
      'Dockerfile2.dockerignore': 'b\n',
    });
    await box.copy('COPY . /one');
    await box.copy('COPY . /two', { dockerfile: join(box.context, 'Dockerfile2') });
    await box.copy('COPY --from=s . /three', { from: box.context });
    const has = (path: string): boolean => existsSync(at(path));
    expect([has('one/a'), has('one/b'), has('two/a'), has('two/b'), has('three/a'), has('three/b')]).to.deep.equal([
      false,
      true,
      true,
      false,
      true,
      true,
    ]);
  });

  it('C24: --link replaces a symbolic link by a directory and a directory by a link', async () => {
    makeFiles(box.context, { 'd/a/x': 'x', 'd/b': '→a' });
    makeFiles(box.stage, { target: 'kept', 'o/a': '→../target', 'o/b/old': '' });
    await box.copy('COPY --link d /o');
    expect([text('o/a/x'), readlinkSync(at('o/b')), text('target')]).to.deep.equal(['x', 'a', 'kept']);
    expect((await rejection(box.copy('COPY d /p/../o/a/x/'))).message).to.include('is a file in the stage');
  });

  it('hard links of the source stay links', async () => {
    makeFiles(box.context, { 'd/a': 'x' });
    linkSync(join(box.context, 'd/a'), join(box.context, 'd/b'));
    await box.copy('COPY d /d');
    expect(lstatSync(at('d/a')).ino).to.equal(lstatSync(at('d/b')).ino);
  });

  it('directories of the stage keep their times, unless they are copied', async () => {
    makeFiles(box.stage, { 'app/old': '' });
    utimesSync(at('app'), 1000, 1000);
    makeFiles(box.context, { f: 'x' });
    await box.copy('COPY f /app/');
    await box.copy('COPY f /app/new/');
    expect([lstatSync(at('app')).mtimeMs, lstatSync(at('app/new')).mtimeMs]).to.deep.equal([
      1_000_000, 1_700_000_000_000,
    ]);
  });

  it('a file that is the same in the stage is no change', async () => {
    makeFiles(box.context, { 'd/f': 'same' });
    utimesSync(join(box.context, 'd/f'), 5, 5);
    utimesSync(join(box.context, 'd'), 5, 5);
    await box.copy('COPY d /d');
    await box.copy('COPY d /d');
    expect(readFileSync(join(box.base, 'built.tar')).every((byte) => byte === 0)).to.equal(true);
    chmodSync(join(box.context, 'd/f'), 0o600);
    await box.copy('COPY d /d');
    expect(readFileSync(join(box.base, 'built.tar')).every((byte) => byte === 0)).to.equal(false);
  });

  it('K1, K2, K3: the digest ignores times and what is not selected, and sees modes, contents and types', async () => {
    makeFiles(box.context, { foo: 'x', bar: 'b' });
    const digest = (): Promise<string> => box.copy('COPY foo* /d/', { dry: true });
    const first = await digest();
    utimesSync(join(box.context, 'foo'), 7, 7);
    writeFileSync(join(box.context, 'bar'), 'other');
    expect(await digest()).to.equal(first);
    chmodSync(join(box.context, 'foo'), 0o600);
    const changed = await digest();
    expect(changed).not.to.equal(first);
    rmSync(join(box.context, 'foo'));
    mkdirSync(join(box.context, 'foo'));
    expect(await digest()).not.to.equal(changed);
    rmSync(join(box.context, 'foo'), { recursive: true });
    symlinkSync('bar', join(box.context, 'foo'));
    expect(await digest()).not.to.equal(changed);
  });

  it('several sources need a directory', async () => {
    makeFiles(box.context, { a: '', b: '' });
    expect((await rejection(box.copy('COPY a b /x'))).message).to.include('does not end in /');
    await box.copy('COPY a b .');
  });

  it('H1: heredocs are files', async () => {
    await box.copy('COPY <<EOF <<"E2" double/\nhello $name\nEOF\n$x\nE2', { variables: { name: 'you' } });
    expect([text('double/EOF'), text('double/E2'), traits('double/EOF')]).to.deep.equal([
      'hello you\n',
      '$x\n',
      '644 0:0',
    ]);
  });
});
