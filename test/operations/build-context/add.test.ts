import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  DigestMismatchError,
  LayerFormatError,
  NotFoundError,
  PathEscapeError,
  UsageError,
} from '../../../lib/errors.js';
import { CopyStage, makeFiles, never } from '../../imgtool/copy-stage.js';
import { listenOnLoopback, type LoopbackServer } from '../../helpers/loopback-server.js';
import { rejection } from '../../helpers/rejection.js';
import { writeTar, type TarEntry } from '../../helpers/tar-writer.js';

const TREE: readonly TarEntry[] = [
  { path: 'dir', type: 'dir', mode: 0o750, uid: 5, gid: 6 },
  { path: 'dir/file', content: 'in the tar', mode: 0o4711, uid: 7, gid: 8 },
  { path: 'dir/again', type: 'hardlink', target: 'dir/file' },
  { path: 'dir/link', type: 'link', target: '/etc/passwd' },
];

describe('ADD and contexts', () => {
  let box: CopyStage;
  const at = (path: string): string => join(box.stage, path);
  const text = (path: string): string => readFileSync(at(path), 'utf8');
  const traits = (path: string): string => {
    const { mode, uid, gid } = lstatSync(at(path));
    return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
  };
  const put = (name: string, bytes: Uint8Array): void => writeFileSync(join(box.context, name), bytes);
  beforeEach(() => (box = new CopyStage()));
  afterEach(() => {
    expect(readdirSync(box.base).filter((name) => name.startsWith('imgtool-'))).to.deep.equal([]);
    expect(readFileSync(join(box.outside, 'secret'), 'utf8')).to.equal('must not be seen');
    box.remove();
  });

  describe('archives (C19, C20)', () => {
    for (const [name, pack] of [
      ['t.tar', (tar: Buffer) => tar],
      ['t.tar.gz', (tar: Buffer) => gzipSync(tar)],
      ['t.tar.bz2', (tar: Buffer) => execFileSync('bzip2', ['-c'], { input: tar })],
      ['t.tar.xz', (tar: Buffer) => execFileSync('xz', ['-c'], { input: tar })],
      ['t.tar.zst', (tar: Buffer) => execFileSync('zstd', ['-qc'], { input: tar })],
    ] as const)
      it(`unpacks ${name}, and not with --unpack=false or COPY`, async () => {
        put(name, pack(writeTar(TREE)));
        await box.copy(`ADD ${name} /new/`);
        expect([text('new/dir/file'), readlinkSync(at('new/dir/link'))]).to.deep.equal(['in the tar', '/etc/passwd']);
        expect(['new', 'new/dir', 'new/dir/file'].map(traits)).to.deep.equal(['755 0:0', '750 5:6', '4711 7:8']);
        expect(lstatSync(at('new/dir/again')).ino).to.equal(lstatSync(at('new/dir/file')).ino);
        await box.copy(`ADD --unpack=false ${name} /kept`);
        await box.copy(`COPY ${name} /copied`);
        for (const path of ['kept', 'copied'])
          expect(readFileSync(at(path)).equals(pack(writeTar(TREE))), path).to.equal(true);
      });

    it('copies what is no tar, compressed or not', async () => {
      put('a.gz', gzipSync('no tar'));
      put('plain', Buffer.alloc(2048));
      put('b.xz', execFileSync('xz', ['-c'], { input: 'no tar either' }));
      await box.copy('ADD a.gz plain b.xz /d/');
      expect(['a.gz', 'plain', 'b.xz'].every((name) => existsSync(at(`d/${name}`)))).to.equal(true);
    });

    it('implied directories follow links of the stage, those told replace them', async () => {
      makeFiles(box.stage, { 'real/': null, abs: '→/real', told: '→/real' });
      put(
        't.tar',
        writeTar([
          { path: 'abs/a', content: 'x' },
          { path: 'abs/b', type: 'hardlink', target: 'abs/a' },
          { path: 'told', type: 'dir' },
          { path: 'told/c', content: 'y' },
        ]),
      );
      await box.copy('ADD t.tar /');
      expect([text('real/a'), text('real/b'), text('told/c')]).to.deep.equal(['x', 'x', 'y']);
      expect(lstatSync(at('told')).isDirectory()).to.equal(true);
      expect(existsSync(at('real/c'))).to.equal(false);
    });

    it('capabilities are kept', async () => {
      const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
      put('t.tar', writeTar([{ path: 'ping', content: 'x', xattrs: { 'security.capability': capability } }]));
      await box.copy('ADD t.tar /');
      expect(box.tree().get('ping')?.xattrs['security.capability']).to.equal(capability.toString('hex'));
    });

    const hostile: readonly {
      readonly name: string;
      readonly entries: readonly TarEntry[];
      readonly refused?: typeof PathEscapeError | typeof LayerFormatError;
    }[] = [
      {
        name: 'a path with .. (CVE-2014-6407)',
        entries: [{ path: '../outside/secret', content: 'bad' }],
        refused: PathEscapeError,
      },
      {
        name: 'a path through a link to the outside (CVE-2015-8860)',
        entries: [
          { path: 'd', type: 'link', target: '/outside' },
          { path: 'd/secret', content: 'bad' },
        ],
      },
      {
        name: 'a path through a relative link (CVE-2021-32803)',
        entries: [
          { path: 'd', type: 'link', target: '../../../outside' },
          { path: 'd/secret', content: 'bad' },
        ],
      },
      {
        name: 'a hard link out (CVE-2018-20834)',
        entries: [{ path: 'h', type: 'hardlink', target: '../outside/secret' }],
        refused: PathEscapeError,
      },
      {
        name: 'a hard link to what is not in it (CVE-2025-48387)',
        entries: [{ path: 'h', type: 'hardlink', target: 'etc/shadow' }],
        refused: LayerFormatError,
      },
      {
        name: 'a root that is a link (CVE-2021-29136)',
        entries: [{ path: '.', type: 'link', target: '/outside' }],
        refused: LayerFormatError,
      },
      {
        name: 'links in a circle',
        entries: [
          { path: 'a', type: 'link', target: 'b' },
          { path: 'b', type: 'link', target: 'a' },
          { path: 'a/x', content: '' },
        ],
        refused: LayerFormatError,
      },
      {
        name: 'an entry below a file',
        entries: [
          { path: 'f', content: '' },
          { path: 'f/x', content: '' },
        ],
        refused: LayerFormatError,
      },
      {
        name: 'a directory replaced by a link, then used (CVE-2021-37701)',
        entries: [
          { path: 'd', type: 'dir' },
          { path: 'd/x', content: 'x' },
          { path: 'd', type: 'link', target: '/outside' },
          { path: 'd/secret', content: 'bad' },
        ],
      },
    ];
    for (const { name, entries, refused } of hostile)
      it(`does no harm with ${name}`, async () => {
        put('t.tar', writeTar(entries));
        if (refused === undefined) await box.copy('ADD t.tar /');
        else expect(await rejection(box.copy('ADD t.tar /'))).to.be.instanceOf(refused);
      });

    it('a link of the stage to the outside leads nowhere', async () => {
      makeFiles(box.stage, { d: `→${box.outside}` });
      put('t.tar', writeTar([{ path: 'd/secret', content: 'bad' }]));
      await box.copy('ADD t.tar /');
    });

    it('a truncated one is an error', async () => {
      put('t.tar', writeTar([{ path: 'f', content: 'x'.repeat(5000) }]).subarray(0, 2000));
      expect(await rejection(box.copy('ADD t.tar /'))).to.be.instanceOf(LayerFormatError);
    });
  });

  describe('URLs (C21)', () => {
    let server: LoopbackServer;
    let asked: string[];
    beforeEach(async () => {
      asked = [];
      server = await listenOnLoopback(
        createServer((request, response) => {
          asked.push(request.url ?? '');
          if (request.url?.startsWith('/missing') === true) response.statusCode = 404;
          response.setHeader('last-modified', 'Thu, 01 Jan 1970 00:01:40 GMT');
          response.end(request.url === '/t.tar' ? writeTar(TREE) : 'downloaded');
        }),
      );
    });
    afterEach(() => server.close());

    it('a file gets mode 0600, its time and the name of the URL', async () => {
      await box.copy(`ADD http://${server.host}/a/name.txt?q=1 /d/`);
      expect([text('d/name.txt'), traits('d/name.txt'), lstatSync(at('d/name.txt')).mtimeMs]).to.deep.equal([
        'downloaded',
        '600 0:0',
        100_000,
      ]);
      await box.copy(`ADD --chmod=644 --chown=1:2 http://${server.host}/ /x`);
      expect([text('x'), traits('x')]).to.deep.equal(['downloaded', '644 1:2']);
      expect((await rejection(box.copy(`ADD http://${server.host}/ /d/`))).message).to.include('names no file');
    });

    it('an archive stays one, unless --unpack', async () => {
      await box.copy(`ADD http://${server.host}/t.tar /d/`);
      await box.copy(`ADD --unpack http://${server.host}/t.tar /u/`);
      expect([readFileSync(at('d/t.tar')).length > 1024, text('u/dir/file')]).to.deep.equal([true, 'in the tar']);
    });

    it('errors: 404, wrong checksum, a checksum for several or local sources', async () => {
      const right = createHash('sha256').update('downloaded').digest('hex');
      await box.copy(`ADD --checksum=sha256:${right} http://${server.host}/f /f`);
      const url = `http://${server.host}/f`;
      expect(await rejection(box.copy(`ADD http://${server.host}/missing /m`))).to.be.instanceOf(NotFoundError);
      expect(await rejection(box.copy(`ADD --checksum=sha256:${'0'.repeat(64)} ${url} /f`))).to.be.instanceOf(
        DigestMismatchError,
      );
      expect((await rejection(box.copy(`ADD --checksum=sha256:${right} ${url} ${url} /d/`))).message).to.include(
        'exactly one',
      );
      makeFiles(box.context, { local: 'x' });
      expect((await rejection(box.copy(`ADD --checksum=sha256:${right} local /f`))).message).to.include('URLs only');
    });

    it('a context may be the URL of a tar', async () => {
      await box.copy('COPY dir/file /f', { context: `http://${server.host}/t.tar` });
      expect([text('f'), traits('f')]).to.deep.equal(['in the tar', '4711 0:0']);
    });
  });

  describe('contexts', () => {
    const tar = writeTar([
      ...TREE,
      { path: '.dockerignore', content: 'dir/again\n' },
      { path: 'Dockerfile', content: 'FROM scratch\n' },
    ]);

    it('a tar file, and a tar on standard input', async () => {
      put('c.tar.gz', gzipSync(tar));
      await box.copy('COPY . /one', { context: join(box.context, 'c.tar.gz') });
      await box.copy('COPY . /two', { context: '-', stdin: createReadStream(join(box.context, 'c.tar.gz')) });
      for (const name of ['one', 'two'])
        expect([text(`${name}/dir/file`), traits(`${name}/dir`), existsSync(at(`${name}/dir/again`))]).to.deep.equal([
          'in the tar',
          '750 0:0',
          false,
        ]);
      const sources = box.sources({ context: join(box.context, 'c.tar.gz') });
      expect((await sources.readFile('Dockerfile'))?.toString()).to.equal('FROM scratch\n');
      expect(await sources.readFile('other')).to.equal(undefined);
      await sources.close();
    });

    it('what is no context is an error', async () => {
      put('f', Buffer.from('x'));
      expect((await rejection(box.copy('COPY . /', { context: join(box.context, 'f') }))).message).to.include(
        'is no tar',
      );
      expect(await rejection(box.copy('COPY . /', { context: join(box.context, 'none') }))).to.be.instanceOf(
        NotFoundError,
      );
      expect(await rejection(box.copy('COPY . /', { context: '-' }))).to.be.instanceOf(UsageError);
    });

    it('named contexts: directories, and images', async () => {
      makeFiles(box.source, { f: 'named', '.dockerignore': 'f\n' });
      const contexts = new Map([
        ['s', box.source],
        ['i', 'docker-image://alpine:3.20'],
        ['r', 'docker://h/r:1'],
        ['o', 'oci-layout://dir:tag'],
      ]);
      const sources = box.sources({ contexts });
      expect(['s', 'i', 'r', 'o'].map((name) => sources.imageOf(name))).to.deep.equal([
        undefined,
        'alpine:3.20',
        'h/r:1',
        'oci:dir:tag',
      ]);
      const { tree, keepsOwners } = await sources.named('s');
      expect([tree.node('f')?.size, keepsOwners]).to.deep.equal([5, false]);
      await sources.close();
    });

    it('an ignore file, allowed only what ! says (I12)', async () => {
      makeFiles(box.context, { 'sub/other': '', x: '', '.dockerignore': '*\n!sub/file\n' });
      expect((await rejection(box.copy('COPY sub /x'))).message).to.include('sub is not in the build context');
      makeFiles(box.context, { 'sub/file': 'kept' });
      await box.copy('COPY . /all');
      expect([...box.tree().keys()].filter((path) => path.startsWith('all'))).to.deep.equal([
        'all',
        'all/sub',
        'all/sub/file',
      ]);
    });

    it('git: a branch and a directory, for ADD and as context', async () => {
      const repository = join(box.base, 'git/repo.git');
      mkdirSync(join(box.base, 'git'));
      const git = (...words: readonly string[]): void =>
        void execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-C', repository, ...words]);
      execFileSync('git', ['init', '-q', '-b', 'main', repository]);
      makeFiles(repository, { 'sub/f': 'main', 'git-daemon-export-ok': '' });
      git('add', '.');
      git('commit', '-qm', 'one');
      git('checkout', '-qb', 'other');
      writeFileSync(join(repository, 'sub/f'), 'other');
      git('commit', '-qam', 'two');
      git('checkout', '-q', 'main');
      const probe = createTcpServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => probe.once('listening', resolve));
      const { port } = probe.address() as AddressInfo;
      await new Promise((resolve) => probe.close(resolve));
      const daemon = spawn(
        'git',
        [
          'daemon',
          '--reuseaddr',
          '--export-all',
          '--listen=127.0.0.1',
          `--port=${port}`,
          `--base-path=${join(box.base, 'git')}`,
        ],
        { stdio: 'ignore', detached: true },
      );
      try {
        await reachable(port);
        const url = `git://127.0.0.1:${port}/repo.git`;
        await box.copy(`ADD ${url} /main`);
        await box.copy(`ADD ${url}#other:sub /other`);
        await box.copy(`ADD --keep-git-dir=true ${url}?ref=other /kept`);
        await box.copy('COPY f /context', { context: `${url}#other:sub` });
        expect([text('main/sub/f'), text('other/f'), text('context')]).to.deep.equal(['main', 'other', 'other']);
        expect([existsSync(at('main/.git')), existsSync(at('kept/.git'))]).to.deep.equal([false, true]);
        expect((await rejection(box.copy(`ADD ${url}#--upload-pack=touch /x`))).message).to.include(
          'no git repository',
        );
        expect((await rejection(box.copy(`ADD ${url}#gone /x`))).message).to.include('git failed');
      } finally {
        process.kill(-daemon.pid!, 'SIGKILL');
      }
    });
  });

  it('what was hashed before and not changed since is not read again', async () => {
    makeFiles(box.context, { 'd/a': 'one', 'd/b': 'two' });
    execFileSync('touch', ['-d', '1 hour ago', join(box.context, 'd/a'), join(box.context, 'd/b')]);
    const cacheDirectory = join(box.base, 'cache');
    const digest = (): Promise<string> => box.copy('COPY d /d', { cacheDirectory, dry: true });
    const first = await digest();
    expect(existsSync(join(cacheDirectory, 'contexts')), 'too young').to.equal(false);
    await delay(2100);
    expect(await digest()).to.equal(first);
    const [file] = readdirSync(join(cacheDirectory, 'contexts'));
    // A wrong hash in the file shows: it is used.
    const path = join(cacheDirectory, 'contexts', file!);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    expect(await digest()).not.to.equal(first);
    execFileSync('chmod', ['666', path]);
    expect(await digest(), 'others may write').to.equal(first);
    writeFileSync(join(box.context, 'd/a'), 'eno');
    expect(await digest()).not.to.equal(first);
  });

  it('files that change between hashing and copying are an error', async () => {
    makeFiles(box.context, { 'd/a': 'one' });
    const sources = box.sources();
    const context = await sources.main();
    const { copyInstruction } = await import('../../imgtool/copy-stage.js');
    const selection = await sources.select({
      instruction: copyInstruction('COPY d /d'),
      context,
      workdir: '/',
      signal: never,
    });
    await selection.digest();
    writeFileSync(join(box.context, 'd/a'), 'two');
    const error = await rejection(sources.write(selection, box.stage, { createdNs: 0n, signal: never }));
    expect(error.message).to.include('were changed while they were copied');
    await selection.close();
    await sources.close();
  });
});

async function reachable(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false));
      socket.unref();
      setTimeout(() => socket.destroy(), 1000).unref();
    });
    if (answered) return;
    await delay(25);
  }
  throw new Error(`nothing answers at port ${port}`);
}
