import { execFile } from 'node:child_process';
import { closeSync, createWriteStream, mkdirSync, openSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { expect } from 'chai';
import { systemErrorName } from '../../lib/errors.js';
import { setXattrFd } from '../../lib/sys/index.js';
import { makeBtrfsLoop, type BtrfsLoop } from '../helpers/btrfs-loop.js';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { tarHeader, writeTar } from '../helpers/tar-writer.js';

/** `npm run soak:full` fills and frees this often; once is enough for `npm test`. */
const ROUNDS = Number(process.env.IMGTOOL_FULL_ROUNDS ?? 1);

/** Runs the program without throwing. */
function attempt(root: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Attempt> {
  return new Promise((resolve) => {
    execFile(
      IMGTOOL,
      ['--root', root, '--progress', 'none', ...args],
      { env: { ...process.env, ...env }, maxBuffer: 1 << 28, encoding: 'buffer' },
      (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr: stderr.toString() }),
    );
  });
}

interface Attempt {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Makes files in `directory` that are metadata alone until the file system refuses the smallest; returns why. */
function fillMetadata(directory: string): string {
  mkdirSync(directory, { recursive: true });
  let refused = '';
  for (const bytes of [16_000, 1_000, 0])
    try {
      for (let i = 0; ; i++) {
        const fd = openSync(join(directory, `${bytes}-${i}`), 'w');
        try {
          if (bytes > 0) setXattrFd(fd, 'user.fill', Buffer.alloc(bytes, 1));
        } finally {
          closeSync(fd);
        }
      }
    } catch (error) {
      refused = systemErrorName(error) ?? '';
    }
  return refused;
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

describe('full disks', () => {
  let directory: string;
  let tar: string;
  /** 600 MB in a few. */
  let large: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-full-'));
    tar = join(directory, 'small.tar');
    writeFileSync(tar, writeTar([{ path: 'file', content: 'x' }]));
    large = join(directory, 'large.tgz');
    const zeros = 600 << 20;
    const head = tarHeader({ path: 'zeros', flag: '0', mode: 0o644, size: zeros });
    await pipeline(
      Readable.from(
        (function* () {
          yield head;
          for (let i = 0; i < zeros >> 20; i++) yield Buffer.alloc(1 << 20);
          yield Buffer.alloc(1024);
        })(),
      ),
      createGzip({ level: 1 }),
      createWriteStream(large),
    );
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const onDisk = async (size: number, work: (disk: BtrfsLoop, root: string) => Promise<void>): Promise<void> => {
    const disk = await makeBtrfsLoop(size, ['-m', 'single']);
    try {
      await work(disk, join(disk.path, 'store'));
    } finally {
      await disk.remove();
    }
  };
  /** A store with an image of two names and a container. */
  const makeStore = async (root: string): Promise<string> => {
    await imgtool(root, 'import', '--reserve', '0', tar, 'localhost/a:1');
    await imgtool(root, 'tag', 'localhost/a:1', 'localhost/b:1');
    await imgtool(root, 'create', '--name', 'box', 'localhost/a:1');
    return imgtool(root, 'mount', 'box');
  };
  const expectFreed = async (root: string): Promise<void> => {
    for (const args of [
      ['store', 'fsck', '--quick'],
      ['untag', 'localhost/b:1'],
      ['rm', 'box'],
      ['store', 'gc'],
    ]) {
      const { code, stderr } = await attempt(root, args);
      expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    }
    const { code, stderr } = await attempt(root, ['rmi', 'localhost/a:1']);
    expect(code, stderr).to.equal(0);
    expect(readdirSync(join(root, 'containers'))).to.deep.equal([]);
    expect(readdirSync(join(root, 'layers'))).to.deep.equal([]);
  };

  for (let round = 0; round < ROUNDS; round++) {
    it(`metadata full of a container's small files: fsck, untag, rm, gc and rmi work (${round})`, () =>
      onDisk(256 << 20, async (_disk, root) => {
        const mounted = await makeStore(root);
        expect(fillMetadata(join(mounted, 'many'))).to.equal('ENOSPC');
        await expectFreed(root);
        await imgtool(root, 'import', '--reserve', '0', tar, 'localhost/again:1');
      })).timeout(120_000);

    it(`a store made before there was a ballast, metadata full: rm and gc work (${round})`, () =>
      onDisk(256 << 20, async (_disk, root) => {
        const mounted = await makeStore(root);
        await rm(join(root, 'ballast'));
        await rm(join(root, 'locks', 'store'));
        await run('sync', ['-f', root]);
        expect(fillMetadata(join(mounted, 'many'))).to.equal('ENOSPC');
        for (const args of [
          ['rm', 'box'],
          ['store', 'gc'],
        ]) {
          const { code, stderr } = await attempt(root, args);
          expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
        }
      })).timeout(120_000);

    it(`a btrfs quota reached by the store: fsck, untag, rm, gc and rmi work (${round})`, () =>
      onDisk(512 << 20, async (disk, root) => {
        await makeStore(root);
        await run('btrfs', ['quota', 'enable', disk.path]);
        await run('btrfs', ['qgroup', 'limit', '20M', root]);
        expect(fillMetadata(join(root, 'foreign'))).to.equal('EDQUOT');
        await expectFreed(root);
      })).timeout(120_000);

    it(`a small tgz of 600 MB fails early with exit 8, and its room is back at once (${round})`, () =>
      onDisk(768 << 20, async (_disk, root) => {
        await imgtool(root, 'import', tar, 'localhost/a:1');
        const before = freeBytes(root);
        for (const args of [['--reserve', '256M'], []]) {
          const { code, stderr } = await attempt(root, ['import', ...args, large, 'localhost/z:1']);
          expect(code, stderr).to.equal(8);
          expect(stderr).to.match(/kept in reserve\nhint: /);
          expect(freeBytes(root)).to.be.above(before - (64 << 20));
        }
        await imgtool(root, 'import', tar, 'localhost/b:1');
      })).timeout(120_000);
  }

  it('save, export and blob get to a full disk: exit 8, and a hint', () =>
    onDisk(512 << 20, async (_disk, root) => {
      await makeStore(root);
      for (const args of [
        ['save', 'localhost/a:1', '-o', '/dev/full'],
        ['export', 'box', '-o', '/dev/full'],
        ['save', 'localhost/a:1'],
      ]) {
        const line = `${IMGTOOL} --root ${root} --progress none ${args.join(' ')} > /dev/full`;
        const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
          execFile('sh', ['-c', line], (error, _out, said) => resolve({ code: error?.code, stderr: said }));
        });
        expect(code, `${args.join(' ')}: ${stderr}`).to.equal(8);
        expect(stderr).to.match(/\nhint: .*\n$/);
      }
    })).timeout(60_000);

  it('a read-only store: images, inspect, diff, export, save and fsck work, commit says why not', () =>
    onDisk(512 << 20, async (disk, root) => {
      const mounted = await makeStore(root);
      writeFileSync(join(mounted, 'new'), 'new');
      await run('mount', ['-o', 'remount,ro', disk.path]);
      const output = join(directory, 'out.tar');
      for (const args of [
        ['images'],
        ['inspect', 'localhost/a:1'],
        ['diff', 'box'],
        ['export', 'box', '-o', output],
        ['save', 'localhost/a:1', '-o', output],
        ['store', 'fsck'],
      ]) {
        const { code, stderr } = await attempt(root, args);
        expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
      }
      const { code, stderr } = await attempt(root, ['commit', '--reserve', '0', 'box', 'localhost/c:1']);
      expect(code).to.equal(7);
      expect(stderr).to.match(/read-only/);
    })).timeout(60_000);
});
