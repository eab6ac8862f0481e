import { expect } from 'chai';
import { once } from 'node:events';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotFoundError, StoreError } from '../../lib/errors.js';
import { createSnapshotter, findStore, openStore } from '../../lib/snapshot/index.js';
import { defaultPoolSize } from '../../lib/snapshot/pool.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { rejection } from '../helpers/rejection.js';

const SIZE = 512 * 2 ** 20;
const DOOR = new URL('../../lib/snapshot/index.js', import.meta.url).href;

/** Runs a module text in a node of its own; `$DOOR` is the room under test. Resolves with its stdout. */
function inProcess(code: string, options: { uid?: number } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const text = `import * as room from ${JSON.stringify(DOOR)};\n${code}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
      stdio: ['ignore', 'pipe', 'inherit'],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
    child.on('close', (status) => (status === 0 ? resolve(out) : reject(new Error(`exit ${status}: ${out}`))));
  });
}

function mountsOf(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[4] === path);
}

/** Unmounts the pool of `root`. Returns false when none is mounted. */
function detachPool(root: string): boolean {
  if (mountsOf(root).length === 0) return false;
  execFileSync('umount', [root]);
  return true;
}

function loopsOf(file: string): string[] {
  return execFileSync('losetup', ['-j', file], { encoding: 'utf8' }).split('\n').filter(Boolean);
}

describe('snapshot/store-root', () => {
  describe('embedded pool', () => {
    let base: string;
    let root: string;
    let notes: string[];
    const create = () => openStore(root, { create: true, size: SIZE, onNote: (line) => notes.push(line) });

    beforeEach(() => {
      base = mkdtempSync(join(tmpdir(), 'imgtool-pool-'));
      root = join(base, 'store');
      notes = [];
    });
    afterEach(() => {
      detachPool(root);
      expect(loopsOf(`${root}.btrfs`)).to.deep.equal([]);
      rmSync(base, { recursive: true, force: true });
    });

    it('is made on first use, said in one line, and found without a word afterwards', async () => {
      const store = await create();
      expect(store).to.deep.include({ root, version: 1, pool: { file: `${root}.btrfs` }, reserve: 2 ** 30 });
      expect(notes).to.have.length(1);
      expect(notes[0]).to.contain(`${root}.btrfs`).and.not.contain('\n');
      expect(mountsOf(root)[0]).to.match(/noatime/);
      const { blocks, size, mode } = statSync(`${root}.btrfs`);
      expect([size, mode & 0o777]).to.deep.equal([SIZE, 0o600]);
      expect(blocks * 512).to.be.lessThan(SIZE / 4);
      await openStore(root, { create: true });
      await findStore(root);
      expect(notes).to.have.length(1);
      expect(mountsOf(root)).to.have.length(1);
    });

    it('is mounted again after a reboot, by a reader too', async () => {
      await create();
      writeFileSync(join(root, 'images/kept'), 'kept');
      expect(detachPool(root)).to.equal(true);
      expect(detachPool(root)).to.equal(false);
      expect(readdirSync(root)).to.deep.equal(['pool.json']);
      const store = await findStore(root, { onNote: (line) => notes.push(line) });
      expect(store.pool).to.deep.equal({ file: `${root}.btrfs` });
      expect(readFileSync(join(root, 'images/kept'), 'utf8')).to.equal('kept');
      expect(notes).to.have.length(2);
    });

    it('gives no device nodes to those who look into it', async () => {
      await create();
      expect(mountsOf(root)[0]!.split(' ')[5]!.split(',')).to.include('nodev');
    });

    describe('another user has planted', () => {
      const OTHER = 65_534;
      const refusal = async (): Promise<Error & { readonly hint?: string }> => {
        const error = await rejection(create());
        expect(error).to.be.instanceOf(StoreError);
        expect((await rejection(findStore(root))).message).to.equal(error.message);
        expect(mountsOf(root)).to.deep.equal([]);
        return error;
      };

      it('the pool: it is not mounted', async () => {
        await create();
        detachPool(root);
        chownSync(`${root}.btrfs`, OTHER, OTHER);
        const { message, hint } = await refusal();
        expect(message).to.include(`${root}.btrfs belongs to user ${OTHER}, not to root`);
        expect(hint).to.include(`chown root ${root}.btrfs`);
      });

      it('a link to a pool', async () => {
        writeFileSync(join(base, 'elsewhere'), '');
        symlinkSync('elsewhere', `${root}.btrfs`);
        lchownSync(`${root}.btrfs`, OTHER, OTHER);
        expect((await refusal()).message).to.include(`${root}.btrfs belongs to user ${OTHER}`);
      });

      it('a pool that others can write to', async () => {
        writeFileSync(`${root}.btrfs`, '');
        chmodSync(`${root}.btrfs`, 0o666);
        expect((await refusal()).message).to.include(`users other than root can write to ${root}.btrfs`);
      });

      it('the directory of the store, with a marker that names a device', async () => {
        mkdirSync(root);
        writeFileSync(join(root, 'pool.json'), '{"device": "/dev/null"}');
        chownSync(root, OTHER, OTHER);
        expect((await refusal()).message).to.include(`${root} belongs to user ${OTHER}`);
        chownSync(root, 0, 0);
        chmodSync(root, 0o777);
        const { message, hint } = await refusal();
        expect(message).to.include(`users other than root can write to ${root}`);
        expect(hint).to.include(`chmod go-w ${root}`);
        rmSync(root, { recursive: true });
      });

      it('the lock file: root does not wait for it', async () => {
        writeFileSync(`${root}.btrfs.lock`, '');
        chownSync(`${root}.btrfs.lock`, OTHER, OTHER);
        const error = await rejection(create());
        expect(error).to.be.instanceOf(StoreError);
        expect(error.message).to.include(`${root}.btrfs.lock belongs to user ${OTHER}`);
      });
    });

    it('says that it waits for a lock that another process holds', async () => {
      const holder = spawn('flock', [`${root}.btrfs.lock`, 'sh', '-c', 'echo held; read go'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      await once(holder.stdout, 'data');
      let opened: Promise<unknown> | undefined;
      const told = new Promise<string>((resolve) => {
        opened = openStore(root, { create: true, size: SIZE, onNote: resolve });
      });
      try {
        expect(await told).to.equal(`waiting for another process that holds the lock ${root}.btrfs.lock`);
        const ended = rejection(openStore(root, { create: true, signal: AbortSignal.timeout(50) }));
        expect((await ended).name).to.equal('AbortError');
      } finally {
        holder.stdin.end('go\n');
      }
      await opened;
    });

    it('is no larger than a file of ext4 can be', () => {
      expect(defaultPoolSize(20 * 2 ** 40)).to.equal(2 ** 44 - 4096);
      expect([1, 2 ** 40].map(defaultPoolSize)).to.deep.equal([64 * 2 ** 30, 2 ** 40]);
    });

    it('is 64 GiB or the free space, sparse, when nobody says', async () => {
      await openStore(root, { create: true });
      const { size, blocks } = statSync(`${root}.btrfs`);
      expect(size).to.be.at.least(64 * 2 ** 30);
      expect(blocks * 512).to.be.lessThan(64 * 2 ** 20);
    });

    it('is made and mounted once by processes that start together', async () => {
      const open = `const s = await room.openStore(${JSON.stringify(root)}, { create: true, size: ${SIZE} }); process.stdout.write(s.root);`;
      expect(await Promise.all([inProcess(open), inProcess(open), inProcess(open)])).to.deep.equal([root, root, root]);
      expect(mountsOf(root)).to.have.length(1);
      expect(loopsOf(`${root}.btrfs`)).to.have.length(1);
    });

    it('shares the loop device of another mount namespace', async () => {
      await create();
      const other = join(base, 'other');
      mkdirSync(other);
      detachPool(root);
      execFileSync('mount', ['-t', 'btrfs', '-o', 'loop', `${root}.btrfs`, other]);
      try {
        await findStore(root);
        expect(loopsOf(`${root}.btrfs`)).to.have.length(1);
        writeFileSync(join(root, 'images/seen'), '');
        expect(existsSync(join(other, 'images/seen'))).to.equal(true);
      } finally {
        execFileSync('umount', [other]);
      }
    });

    it('recovers from a crash at any step of its making', async () => {
      writeFileSync(`${root}.btrfs.new`, 'half-made');
      mkdirSync(root);
      writeFileSync(join(root, '.new-store.json-0123'), 'half-written');
      await create();
      expect(existsSync(`${root}.btrfs.new`)).to.equal(false);
      detachPool(root);
      // Formatted and named, never mounted.
      rmSync(join(root, 'pool.json'));
      await create();
      // Mounted, store.json never written.
      rmSync(join(root, 'store.json'));
      for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true });
      expect((await create()).version).to.equal(1);
    });

    it('keeps the store 0700 with umask 0 (case 25, CVE-2021-41091, CVE-2021-41103)', async () => {
      const before = process.umask(0);
      try {
        await create();
        const snapshots = createSnapshotter({ root });
        const path = await snapshots.createContainer('abcd', undefined);
        writeFileSync(join(path, 'setuid'), 'x');
        chmodSync(join(path, 'setuid'), 0o4755);
        for (const name of ['', ...readdirSync(root)]) {
          const mode = statSync(join(root, name)).mode & 0o777;
          expect(mode & 0o077, name).to.equal(0);
        }
        expect(statSync(path).mode & 0o777).to.equal(0o755);
        const nobody = spawnSync('cat', [join(path, 'setuid')], { uid: 65534, gid: 65534, encoding: 'utf8' });
        expect(nobody.stderr).to.contain('Permission denied');
      } finally {
        process.umask(before);
      }
      detachPool(root);
      expect(statSync(root).mode & 0o777).to.equal(0o700);
    });

    it('says when its file vanished, mounted or not', async () => {
      await create();
      unlinkSync(`${root}.btrfs`);
      const mounted = await rejection(create());
      expect(mounted).to.be.instanceOf(StoreError);
      expect(mounted.message).to.contain('was deleted while it is mounted');
      execFileSync('umount', [root]);
      for (const gone of [await rejection(create()), await rejection(findStore(root))]) {
        expect(gone).to.be.instanceOf(StoreError);
        expect(gone.message).to.contain('is missing');
        expect(gone.hint).to.contain('restore the file');
      }
    });

    it('says when its file is no btrfs', async () => {
      await create();
      detachPool(root);
      truncateSync(`${root}.btrfs`, 0);
      truncateSync(`${root}.btrfs`, SIZE);
      const damaged = await rejection(create());
      expect(damaged).to.be.instanceOf(StoreError);
      expect(damaged.hint).to.contain('contains no btrfs');
    });

    it('refuses a version it does not know, and a damaged store.json', async () => {
      await create();
      writeFileSync(join(root, 'store.json'), '{"version":2}');
      expect((await rejection(findStore(root))).message).to.contain('version 2');
      writeFileSync(join(root, 'store.json'), '{"ver');
      expect(await rejection(create())).to.be.instanceOf(StoreError);
    });

    it('reports its space, and ENOSPC as disk space', async () => {
      await openStore(root, { create: true, size: 128 * 2 ** 20, reserve: 2 ** 20 });
      const snapshots = createSnapshotter({ root, poolFile: `${root}.btrfs` });
      const report = await snapshots.space();
      expect(report.backingFree).to.be.greaterThan(0);
      // To the brim: a layer that did not fit can still be removed, and its room comes back.
      const path = await snapshots.prepare('aa', undefined);
      const fill = (): void => {
        for (let index = 0; index < 1000; index++) writeFileSync(join(path, `f${index}`), Buffer.alloc(2 ** 20, index));
      };
      expect(fill).to.throw('ENOSPC');
      await snapshots.removeWork('aa');
      const deadline = Date.now() + 60_000;
      for (let free = 0; free < report.dataFree / 2; free = (await snapshots.space()).dataFree) {
        expect(Date.now(), `${free} of ${report.dataFree} bytes came back`).to.be.lessThan(deadline);
        await snapshots.sync();
      }
    });
  });

  describe('on btrfs', () => {
    it('makes the root a subvolume of its own, once for all who start together', async () => {
      const root = join(btrfsDirectory('root'), 'deep/store');
      const open = `await room.openStore(${JSON.stringify(root)}, { create: true });`;
      await Promise.all([inProcess(open), inProcess(open)]);
      const { ino, mode } = statSync(root);
      expect([ino, mode & 0o777]).to.deep.equal([256, 0o700]);
      expect(JSON.parse(readFileSync(join(root, 'store.json'), 'utf8'))).to.deep.equal({ version: 1 });
      expect(existsSync(`${root}.btrfs`)).to.equal(false);
      expect((await findStore(root)).pool).to.equal(undefined);
      expect(detachPool(root)).to.equal(false);
    });

    it('takes an empty directory, refuses one with files of others', async () => {
      const base = btrfsDirectory('root');
      mkdirSync(join(base, 'empty'));
      mkdirSync(join(base, 'full'));
      writeFileSync(join(base, 'full/mine'), 'kept');
      await openStore(join(base, 'empty'), { create: true });
      expect(statSync(join(base, 'empty')).ino).to.equal(256);
      const refused = await rejection(openStore(join(base, 'full'), { create: true }));
      expect(refused).to.be.instanceOf(StoreError);
      expect(refused.message).to.contain('not empty');
      expect(readFileSync(join(base, 'full/mine'), 'utf8')).to.equal('kept');
    });
  });

  it('is not found, and not made, by those who only read', async () => {
    const base = mkdtempSync(join(tmpdir(), 'imgtool-none-'));
    try {
      for (const root of [join(base, 'none'), base]) {
        expect(await rejection(findStore(root))).to.be.instanceOf(NotFoundError);
        expect(await rejection(openStore(root, { create: false }))).to.be.instanceOf(NotFoundError);
      }
      expect(readdirSync(base)).to.deep.equal([]);
    } finally {
      rmSync(base, { recursive: true });
    }
  });

  it('finds a mounted store without loading native code', async () => {
    const root = join(btrfsDirectory('root'), 'store');
    await openStore(root, { create: true });
    const loaded = await inProcess(
      `await room.findStore(${JSON.stringify(root)}); room.createSnapshotter({ root: ${JSON.stringify(root)} });
       process.stdout.write(String(process.report.getReport().sharedObjects.some((name) => name.includes('koffi'))));`,
    );
    expect(loaded).to.equal('false');
  });

  it('says that root rights are missing', async () => {
    const root = join(btrfsDirectory('root'), 'store');
    await openStore(root, { create: true });
    const attempt = (path: string): string =>
      `try { await room.openStore(${JSON.stringify(path)}, { create: true }); } catch (e) { process.stdout.write(e.code + ' ' + e.message + ' ' + e.hint); }`;
    // The code under test may lie where nobody may read: a process of root gives its rights away after loading.
    const drop = 'process.setgid(65534); process.setuid(65534);';
    for (const path of [root, join(tmpdir(), 'imgtool-no-such-store')])
      expect(await inProcess(drop + attempt(path))).to.match(/^ERR_IMGTOOL_STORE .*requires root.*sudo/);
  });

  it('says what to install when mkfs.btrfs is missing, and leaves nothing behind', () => {
    const base = mkdtempSync(join(tmpdir(), 'imgtool-nomkfs-'));
    try {
      const script = `
        try { await room.openStore(${JSON.stringify(join(base, 'store'))}, { create: true, size: ${SIZE} }); }
        catch (e) { process.stdout.write(e.code + ' ' + e.hint); }`;
      // A mount namespace in which the program is hidden by an empty file that nobody may execute.
      const text = `import * as room from ${JSON.stringify(DOOR)};\n${script}`;
      const hide = `: > ${base}/hidden && chmod 000 ${base}/hidden && mount --bind ${base}/hidden "$(command -v mkfs.btrfs)" && exec "$0" --input-type=module -e "$1"`;
      const result = spawnSync('unshare', ['-m', 'sh', '-c', hide, process.execPath, text], { encoding: 'utf8' });
      expect(result.stdout, result.stderr).to.match(/^ERR_IMGTOOL_STORE install btrfs-progs/);
      expect(readdirSync(base).sort()).to.deep.equal(['hidden', 'store', 'store.btrfs.lock']);
      expect(readdirSync(join(base, 'store'))).to.deep.equal([]);
    } finally {
      rmSync(base, { recursive: true });
    }
  });
});
