import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SyscallError } from '../../lib/errors.js';
import {
  AT_FDCWD,
  BLOCK_GROUP_DATA,
  BLOCK_GROUP_METADATA,
  OPEN_DIRECTORY,
  SEND_NO_FILE_DATA,
  SUBVOLUME_ROOT_INODE,
  createSubvolume,
  destroySubvolume,
  destroySubvolumeById,
  filesystemInfo,
  isSubvolumeReadOnly,
  listNestedSubvolumes,
  openAt,
  openMemoryFile,
  sendSubvolume,
  setSubvolumeReadOnly,
  snapshotSubvolume,
  spaceInfo,
  statAt,
  subvolumeId,
  subvolumeInfo,
  syncBtrfs,
} from '../../lib/sys/index.js';
import { btrfsDirectory, sharedBtrfs } from '../helpers/btrfs.js';

async function refused(call: Promise<unknown>): Promise<SyscallError> {
  try {
    await call;
  } catch (error) {
    expect(error).to.be.instanceOf(SyscallError);
    return error as SyscallError;
  }
  throw new Error('the call was expected to fail');
}

describe('sys/btrfs', () => {
  let path: string;
  let dir: number;
  const open = (name: string): number => openAt(dir, name, OPEN_DIRECTORY);
  const withDir = async <T>(name: string, use: (fd: number) => T | Promise<T>): Promise<T> => {
    const fd = open(name);
    try {
      return await use(fd);
    } finally {
      closeSync(fd);
    }
  };

  beforeEach(() => {
    path = btrfsDirectory('sys');
    dir = openAt(AT_FDCWD, path, OPEN_DIRECTORY);
  });
  afterEach(() => closeSync(dir));

  it('makes, snapshots and deletes subvolumes', async () => {
    await createSubvolume(dir, 'a');
    expect(statAt(dir, 'a').ino).to.equal(SUBVOLUME_ROOT_INODE);
    writeFileSync(join(path, 'a/file'), 'content');
    await withDir('a', (fd) => snapshotSubvolume(fd, dir, 'b', { readOnly: true }));
    await withDir('a', (fd) => snapshotSubvolume(fd, dir, 'c', { readOnly: false }));
    expect(statSync(join(path, 'b/file')).size).to.equal(7);
    expect(() => writeFileSync(join(path, 'b/file'), 'x')).to.throw('EROFS');
    writeFileSync(join(path, 'c/file'), 'x');
    expect(statSync(join(path, 'a/file')).size).to.equal(7);
    expect(await withDir('b', isSubvolumeReadOnly)).to.equal(true);
    await withDir('b', (fd) => setSubvolumeReadOnly(fd, false));
    writeFileSync(join(path, 'b/file'), 'x');
    await withDir('b', (fd) => setSubvolumeReadOnly(fd, true));
    for (const name of ['a', 'b', 'c']) await destroySubvolume(dir, name);
    expect(() => statAt(dir, 'a')).to.throw('ENOENT');
  });

  it('carries errno over from the thread that made the call', async () => {
    await createSubvolume(dir, 'a');
    const [twice, missing, long] = await Promise.all([
      refused(createSubvolume(dir, 'a')),
      refused(destroySubvolume(dir, 'none')),
      refused(createSubvolume(dir, 'x'.repeat(256))),
    ]);
    expect(twice.errno).to.equal('EEXIST');
    expect(missing.errno).to.equal('ENOENT');
    expect(long.errno).to.equal('ENAMETOOLONG');
    const other = openSync(tmpdir(), 'r');
    expect((await refused(createSubvolume(other, 'a'))).errno).to.equal('ENOTTY');
    closeSync(other);
  });

  it('tells identity and ancestry as btrfs-progs does', async () => {
    await createSubvolume(dir, 'a');
    await withDir('a', (fd) => snapshotSubvolume(fd, dir, 'b', { readOnly: true }));
    const a = await withDir('a', subvolumeInfo);
    const b = await withDir('b', subvolumeInfo);
    expect(b.parentUuid)
      .to.equal(a.uuid)
      .and.to.match(/^[0-9a-f]{32}$/);
    expect([a.readOnly, b.readOnly]).to.deep.equal([false, true]);
    expect(a.parentUuid).to.equal(undefined);
    expect(a.id).to.equal(await withDir('a', subvolumeId));
    const shown = spawnSync('btrfs', ['subvolume', 'show', join(path, 'b')], { encoding: 'utf8' }).stdout;
    expect(/UUID:\s+(\S+)/.exec(shown)![1]!.replaceAll('-', '')).to.equal(b.uuid);
    expect(/Subvolume ID:\s+(\d+)/.exec(shown)![1]).to.equal(String(b.id));
    expect(/Parent ID:\s+(\d+)/.exec(shown)![1]).to.equal(String(b.parentId));
  });

  it('lists nested subvolumes at any depth, more than one search returns, and deletes them by ID', async () => {
    await createSubvolume(dir, 'top');
    mkdirSync(join(path, 'top/some/deep'), { recursive: true });
    await withDir('top/some/deep', (fd) => createSubvolume(fd, 'one'));
    await withDir('top/some/deep/one', (fd) => createSubvolume(fd, Buffer.from([0xff, 0x0a])));
    const many = Array.from({ length: 40 }, (_, index) => `n${index}${'x'.repeat(200)}`);
    for (const name of many) await withDir('top', (fd) => createSubvolume(fd, name));
    const top = await withDir('top', subvolumeId);
    const nested = listNestedSubvolumes(dir, top);
    expect(nested).to.have.length(42);
    const deepest = nested.find((entry) => entry.name.equals(Buffer.from([0xff, 0x0a])))!;
    const one = nested.find((entry) => entry.name.toString() === 'one')!;
    expect(deepest.parentId).to.equal(one.id);
    expect(nested.indexOf(one)).to.be.lessThan(nested.indexOf(deepest));
    expect((await refused(destroySubvolume(dir, 'top'))).errno).to.equal('ENOTEMPTY');
    for (const entry of nested.reverse()) await destroySubvolumeById(dir, entry.id);
    expect(listNestedSubvolumes(dir, top)).to.deep.equal([]);
    await destroySubvolume(dir, 'top');
  });

  it('does not list the subvolumes of a neighbour', async () => {
    await createSubvolume(dir, 'a');
    await createSubvolume(dir, 'ab');
    await withDir('ab', (fd) => createSubvolume(fd, 'inner'));
    expect(listNestedSubvolumes(dir, await withDir('a', subvolumeId))).to.deep.equal([]);
  });

  it('sends an incremental stream that btrfs receive understands', async () => {
    await createSubvolume(dir, 'a');
    writeFileSync(join(path, 'a/kept'), 'kept');
    await withDir('a', (fd) => snapshotSubvolume(fd, dir, 'base', { readOnly: true }));
    writeFileSync(join(path, 'a/added'), 'added');
    await withDir('a', (fd) => snapshotSubvolume(fd, dir, 'next', { readOnly: true }));
    const base = await withDir('base', subvolumeId);
    const outFd = openMemoryFile('send');
    await withDir('next', (fd) =>
      sendSubvolume({ fd, parentRootId: base, cloneSources: [base], outFd, flags: SEND_NO_FILE_DATA }),
    );
    const stream = Buffer.alloc(fstatSync(outFd).size);
    readSync(outFd, stream, 0, stream.length, 0);
    closeSync(outFd);
    const dump = spawnSync('btrfs', ['receive', '--dump'], { input: stream, encoding: 'utf8' });
    expect(dump.status).to.equal(0);
    expect(dump.stdout).to.match(/update_extent\s+\S*added\s+offset=0 len=5/);
    expect(dump.stdout).not.to.contain('kept');
  });

  it('refuses to send a writable subvolume', async () => {
    await createSubvolume(dir, 'a');
    const outFd = openMemoryFile('send');
    const error = await withDir('a', (fd) =>
      refused(sendSubvolume({ fd, parentRootId: undefined, cloneSources: [], outFd, flags: 0n })),
    );
    closeSync(outFd);
    expect(error.errno).to.equal('EPERM');
  });

  it('tells space and devices as btrfs-progs does', async () => {
    writeFileSync(join(path, 'data'), Buffer.alloc(2 ** 20, 1));
    await syncBtrfs(dir);
    const info = filesystemInfo(dir);
    expect(info.deviceBytes).to.equal(8 * 2 ** 30);
    const spaces = spaceInfo(dir);
    expect(spaces.map((space) => space.kind)).to.include.members([BLOCK_GROUP_DATA, BLOCK_GROUP_METADATA]);
    const allocated = spaces
      .filter((space) => !space.globalReserve)
      .reduce((sum, space) => sum + space.total * space.copies, 0);
    expect(allocated).to.equal(info.allocatedBytes);
    for (const kind of [BLOCK_GROUP_DATA, BLOCK_GROUP_METADATA])
      expect(spaces.some((space) => space.kind === kind && space.total >= space.used && space.used > 0)).to.equal(true);
    const shown = spawnSync('btrfs', ['filesystem', 'show', sharedBtrfs()], { encoding: 'utf8' }).stdout;
    expect(/uuid: (\S+)/.exec(shown)![1]!.replaceAll('-', '')).to.equal(info.fsid);
  });

  it('removes a subvolume as an empty directory too', async () => {
    await createSubvolume(dir, 'a');
    rmdirSync(join(path, 'a'));
    expect(() => statAt(dir, 'a')).to.throw('ENOENT');
  });
});
