import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { attempt, expectNoRoom, expectSuccess, fillMetadata, fillWith, onDisk, onTmpfs } from '../helpers/full-disk.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { run } from '../helpers/run.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';

/** `npm run soak:full` fills and frees this often; once is enough for `npm test`. */
const ROUNDS = Number(process.env.IMGTOOL_FULL_ROUNDS ?? 1);

describe('full disks beside the store', () => {
  let directory: string;
  /** An image of a few bytes. */
  let tar: string;
  /** Files of 6 MB as a tar, and as an OCI layout with the tag 1. */
  let large: string;
  let layout: string;
  let served: Served;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-full-targets-'));
    tar = join(directory, 'small.tar');
    writeFileSync(tar, writeTar([{ path: 'file', content: 'x' }]));
    layout = join(directory, 'layout');
    const entries: TarEntry[] = [{ path: 'file', content: randomBytes(6 << 20) }];
    large = join(directory, 'large.tar');
    writeFileSync(large, writeTar(entries));
    await writeOciLayout(layout, [{ tag: '1', layers: [{ entries, compression: 'none' }] }]);
    served = await startServe(join(directory, 'served'));
  });
  after(async () => {
    await served.stop();
    await rm(directory, { recursive: true });
  });

  it('save, export and blob get to a full disk, as a file and as standard output: exit 8, and a hint', () =>
    onDisk(256 << 20, async (_disk, root) => {
      await imgtool(root, 'import', '--reserve', '0', tar, 'localhost/a:1');
      await imgtool(root, 'create', '--name', 'box', 'localhost/a:1');
      await imgtool(root, 'push', 'localhost/a:1', `${served.host}/a:1`);
      const blob = `${served.host}/a@sha256:${createHash('sha256').update(readFileSync(tar)).digest('hex')}`;
      for (const args of [
        ['save', 'localhost/a:1'],
        ['export', 'box'],
        ['blob', 'get', blob],
      ]) {
        await expectNoRoom(root, [...args, '-o', '/dev/full']);
        const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
          const line = `${IMGTOOL} --root ${root} --progress none ${args.join(' ')} > /dev/full`;
          execFile('sh', ['-c', line], (error, _out, said) => resolve({ code: error?.code, stderr: said }));
        });
        expect(code, `${args.join(' ')}: ${stderr}`).to.equal(8);
        expect(stderr).to.match(/\nhint: .*\n$/);
      }
    })).timeout(60_000);

  it('push with nothing to send, or to a new place, from a store that is full or read-only: done', () =>
    onDisk(256 << 20, async (disk, root) => {
      await imgtool(root, 'import', '--reserve', '0', tar, 'localhost/a:1');
      await imgtool(root, 'push', 'localhost/a:1', `${served.host}/push:1`);
      expect(fillMetadata(join(disk.path, 'other'))).to.equal('ENOSPC');
      await expectSuccess(root, 'push', 'localhost/a:1', `${served.host}/push:1`);
      await expectSuccess(root, 'push', 'localhost/a:1', `${served.host}/push:2`);
      await expectSuccess(root, 'push', 'localhost/a:1', `${served.host}/full:1`);
      await run('mount', ['-o', 'remount,ro', disk.path]);
      await expectSuccess(root, 'push', 'localhost/a:1', `${served.host}/push:1`);
      const { stderr } = await expectSuccess(root, 'push', 'localhost/a:1', `${served.host}/read-only:1`);
      expect(stderr).to.match(/the image is pushed, but the store cannot note where to/);
    })).timeout(60_000);

  for (let round = 0; round < ROUNDS; round++) {
    it(`copy --compression with a full TMPDIR: exit 8 and what to set, nothing at the target; with room it works (${round})`, () => {
      const full = join(directory, 'tmpdir');
      return onTmpfs(full, '1M', async () => {
        const target = `docker://${served.host}/converted-${round}:1`;
        const args = ['copy', '--compression', 'zstd:1', `oci:${layout}:1`, target];
        expect(await expectNoRoom(directory, args, { TMPDIR: full })).to.match(/is full: .*\nhint: set TMPDIR/);
        expect((await attempt(directory, ['inspect', target])).code).to.equal(3);
        await expectSuccess(directory, ...args);
      });
    }).timeout(60_000);

    it(`a registry whose disk is full: push and copy fail with what it says; with room they work (${round})`, () => {
      const full = join(directory, 'registry');
      return onTmpfs(full, '16M', async () => {
        const registry = await startServe(join(full, 'served'));
        try {
          fillWith(join(full, 'filler'));
          const args = ['copy', `oci:${layout}:1`, `docker://${registry.host}/a:1`];
          const { code, stderr } = await attempt(directory, args);
          expect(code, stderr).to.not.be.oneOf([0, 1]);
          expect(stderr).to.match(/disk of the registry is full/);
          rmSync(join(full, 'filler'));
          await expectSuccess(directory, ...args);
        } finally {
          await registry.stop();
        }
      });
    }).timeout(60_000);

    it(`the disk that carries the pool is full: it is named, and after freeing, unmounting and running again all is there (${round})`, () => {
      const host = join(directory, 'host');
      return onTmpfs(host, '160M', async () => {
        const root = join(host, 'store');
        const filler = join(host, 'filler');
        await imgtool(root, 'store', 'init', '--size', '1G');
        try {
          await imgtool(root, 'import', '--reserve', '0', tar, 'localhost/a:1');
          fillWith(filler);
          const below = await expectNoRoom(root, ['import', tar, 'localhost/b:1']);
          expect(below).to.match(/the disk that carries the pool has 0 MB left/);
          await expectSuccess(root, 'images');
          // Writes that the pool has taken are refused by the disk below.
          for (const args of [['import', '--reserve', '0', large], ['images']]) {
            const said = await expectNoRoom(root, args);
            expect(said).to.match(
              /the disk that carries the store's pool \S+store.btrfs is full, and the pool has turned/,
            );
            expect(said).to.contain(`umount ${root}`);
          }
          rmSync(filler);
          const { code, stderr } = await attempt(root, ['images']);
          expect(code, stderr).to.equal(7);
          expect(stderr).to.contain(`umount ${root}`);
          await run('umount', [root]);
          const { stdout } = await expectSuccess(root, 'store', 'fsck');
          expect(stdout).to.match(/all good/);
          await expectSuccess(root, 'load', '--reserve', '0', '-i', layout);
        } finally {
          await run('umount', [root]);
        }
      });
    }).timeout(60_000);
  }
});
