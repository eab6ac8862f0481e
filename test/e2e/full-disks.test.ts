import { randomBytes } from 'node:crypto';
import { copyFileSync, createWriteStream, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { expect } from 'chai';
import {
  attempt,
  expectNoRoom,
  expectSuccess,
  fillData,
  fillMetadata,
  freeBytes,
  onDisk,
} from '../helpers/full-disk.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { randomSource } from '../helpers/random-source.js';
import { run } from '../helpers/run.js';
import { tarHeader, writeTar, type TarEntry } from '../helpers/tar-writer.js';

/** `npm run soak:full` fills and frees this often; once is enough for `npm test`. */
const ROUNDS = Number(process.env.IMGTOOL_FULL_ROUNDS ?? 1);

describe('full disks', () => {
  let directory: string;
  let tar: string;
  /** 600 MB in a few. */
  let large: string;
  /** Images of 6 MB each, of different bytes. */
  let medium: string;
  let other: string;
  let layout: string;
  /** A build context with a file of 6 MB. */
  let context: string;
  let served: Served;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-full-'));
    tar = join(directory, 'small.tar');
    writeFileSync(tar, writeTar([{ path: 'file', content: 'x' }]));
    [medium, other] = [join(directory, 'medium.tar'), join(directory, 'other.tar')];
    const entries = (): TarEntry[] => [{ path: 'file', content: randomBytes(6 << 20) }];
    for (const path of [medium, other]) writeFileSync(path, writeTar(entries()));
    context = join(directory, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'big'), randomBytes(6 << 20));
    copyFileSync('/bin/busybox', join(context, 'busybox'));
    writeFileSync(join(context, 'Dockerfile'), 'FROM localhost/a:1\nCOPY big /\n');
    layout = join(directory, 'layout');
    await writeOciLayout(layout, [{ tag: 'localhost/loaded:1', layers: [{ entries: entries() }] }]);
    const pushed = join(directory, 'pushed');
    await writeOciLayout(pushed, [{ tag: '1', layers: [{ entries: entries() }] }]);
    served = await startServe(join(directory, 'served'));
    await run(IMGTOOL, ['copy', `oci:${pushed}:1`, `docker://${served.host}/pushed:1`]);
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
  after(async () => {
    await served.stop();
    await rm(directory, { recursive: true, force: true });
  });

  /** A store with an image of two names and a container. */
  const makeStore = async (root: string): Promise<string> => {
    await imgtool(root, 'import', '--reserve', '0', tar, 'localhost/a:1');
    await imgtool(root, 'tag', 'localhost/a:1', 'localhost/b:1');
    await imgtool(root, 'create', '--name', 'box', 'localhost/a:1');
    return imgtool(root, 'mount', 'box');
  };
  const expectFreed = async (root: string): Promise<void> => {
    await expectSuccess(root, 'store', 'fsck', '--quick');
    await expectSuccess(root, 'untag', 'localhost/b:1');
    await expectSuccess(root, 'rm', 'box');
    await expectSuccess(root, 'store', 'gc');
    await expectSuccess(root, 'rmi', 'localhost/a:1');
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
        await expectSuccess(root, 'rm', 'box');
        await expectSuccess(root, 'store', 'gc');
      })).timeout(120_000);

    it(`a btrfs quota reached by the store: fsck, untag, rm, gc and rmi work (${round})`, () =>
      onDisk(512 << 20, async (disk, root) => {
        await makeStore(root);
        await run('btrfs', ['quota', 'enable', disk.path]);
        await run('btrfs', ['qgroup', 'limit', '20M', root]);
        expect(fillMetadata(join(root, 'foreign'))).to.equal('EDQUOT');
        await expectFreed(root);
      })).timeout(120_000);

    it(`data full: commit, flatten, import, load, pull and build end with exit 8 and leave a sound store; with room they work (${round})`, () => {
      const random = randomSource();
      const leave = round === 0 ? 2 << 20 : random.below(40 << 20);
      return onDisk(256 << 20, async (disk, root) => {
        const mounted = await makeStore(root);
        await imgtool(root, 'import', '--reserve', '0', medium, 'localhost/medium:1');
        writeFileSync(join(mounted, 'new'), randomBytes(8 << 20));
        const free = fillData(join(disk.path, 'other'), leave);
        const commands = [
          ['commit', '--reserve', '0', 'box', 'localhost/c:1'],
          ['flatten', '--reserve', '0', '-t', 'localhost/d:1', 'localhost/medium:1'],
          ['import', '--reserve', '0', other, 'localhost/e:1'],
          ['load', '--reserve', '0', '-i', layout],
          ['pull', '--reserve', '0', `${served.host}/pushed:1`],
          ['build', '--reserve', '0', '-t', 'localhost/f:1', context],
        ];
        const where = `seed ${random.seed}, ${leave} bytes left`;
        for (const args of commands) {
          if (leave < 4 << 20) await expectNoRoom(root, args);
          else expect((await attempt(root, args)).code, `${where}: ${args.join(' ')}`).to.be.oneOf([0, 8]);
        }
        expect((await expectSuccess(root, 'store', 'fsck')).stdout, where).to.match(/all good/);
        free();
        for (const args of commands) await expectSuccess(root, ...args);
        expect((await expectSuccess(root, 'store', 'fsck')).stdout, where).to.match(/all good/);
      });
    }).timeout(120_000);

    it(`a small tgz of 600 MB fails early with exit 8, and its room is back at once (${round})`, () =>
      onDisk(768 << 20, async (_disk, root) => {
        await imgtool(root, 'import', tar, 'localhost/a:1');
        const before = freeBytes(root);
        for (const args of [['--reserve', '256M'], []]) {
          const said = await expectNoRoom(root, ['import', ...args, large, 'localhost/z:1']);
          expect(said).to.match(/kept in reserve\n/);
          expect(freeBytes(root)).to.be.above(before - (64 << 20));
        }
        await imgtool(root, 'import', tar, 'localhost/b:1');
      })).timeout(120_000);
  }

  it('a command of a build that fills the disk fails with a hint, and its room is back; the steps before it are kept', () =>
    onDisk(256 << 20, async (_disk, root) => {
      await imgtool(root, 'import', '--reserve', '0', tar, 'localhost/a:1');
      const shell = (script: string): string => `RUN ["/busybox", "sh", "-c", ${JSON.stringify(script)}]`;
      const lines = (script: string): string =>
        ['FROM localhost/a:1', 'COPY busybox /', shell('echo kept >/kept'), shell(script)].join('\n');
      const build = async (script: string) => {
        const dockerfile = join(directory, 'Dockerfile.full');
        writeFileSync(dockerfile, lines(script));
        return attempt(root, ['build', '--reserve', '0', '--json', '--network', 'none', '-f', dockerfile, context]);
      };
      const before = freeBytes(root);
      const full = await build('/busybox dd if=/dev/zero of=/big bs=1M count=1000');
      expect(full.code, full.stderr).to.equal(1);
      expect(full.stderr).to.match(/"hint":"the store is full: /);
      await expectSuccess(root, 'store', 'gc');
      expect(freeBytes(root)).to.be.above(before - (16 << 20));
      const { code, stdout, stderr } = await build('echo small >/small');
      expect(code, stderr).to.equal(0);
      const { steps } = JSON.parse(stdout) as { steps: { cached: boolean }[] };
      expect(steps.map(({ cached }) => cached)).to.deep.equal([true, true, false]);
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
        await expectSuccess(root, ...args);
      }
      const { code, stderr } = await attempt(root, ['commit', '--reserve', '0', 'box', 'localhost/c:1']);
      expect(code).to.equal(7);
      expect(stderr).to.match(/read-only/);
    })).timeout(60_000);
});
