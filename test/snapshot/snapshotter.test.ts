import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  mkdtempSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSnapshotter, openStore } from '../../lib/snapshot/index.js';
import { digestHex, digestOf, type ChainId } from '../../lib/spec/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { describeSnapshotter } from '../suites/snapshotter.js';

const newKey = (): string => randomBytes(16).toString('hex');

describe('snapshot/snapshotter', () => {
  let root: string;
  let snapshots: ReturnType<typeof createSnapshotter>;
  before(async () => {
    ({ root } = await openStore(join(btrfsDirectory('snapshotter'), 'root'), { create: true }));
    snapshots = createSnapshotter({ root });
  });

  describeSnapshotter(() => ({ root, snapshots }));

  const btrfs = (...args: string[]): string => execFileSync('btrfs', args, { encoding: 'utf8' });

  it('removes containers with nested subvolumes, read-only ones too (case 29)', async () => {
    const id = newKey();
    const path = await snapshots.createContainer(id, undefined);
    mkdirSync(join(path, 'var/lib'), { recursive: true });
    btrfs('subvolume', 'create', join(path, 'var/lib/a'));
    btrfs('subvolume', 'create', join(path, 'var/lib/a/b'));
    btrfs('subvolume', 'snapshot', '-r', join(path, 'var/lib/a/b'), join(path, 'var/lib/a/b/c'));
    btrfs('property', 'set', '-ts', join(path, 'var/lib/a/b'), 'ro', 'true');
    btrfs('property', 'set', '-ts', path, 'ro', 'true');
    await snapshots.removeContainer(id);
    expect(existsSync(path)).to.equal(false);
    expect(readdirSync(join(root, 'trash'))).to.deep.equal([]);
    expect(readdirSync(join(root, 'containers'))).to.not.include(id);
    expect(btrfs('subvolume', 'list', '-o', root)).to.not.contain(id);
  });

  it('detaches mounts inside a container and leaves what is mounted there alone (case 29)', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'imgtool-outside-'));
    const id = newKey();
    try {
      writeFileSync(join(outside, 'precious'), 'kept');
      const path = await snapshots.createContainer(id, undefined);
      mkdirSync(join(path, 'with blank/mnt'), { recursive: true });
      execFileSync('mount', ['--bind', outside, join(path, 'with blank/mnt')]);
      execFileSync('mount', ['--bind', path, path]);
      await snapshots.removeContainer(id);
      expect(existsSync(path)).to.equal(false);
      expect(readFileSync(join(outside, 'precious'), 'utf8')).to.equal('kept');
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).to.not.contain(id);
    } finally {
      rmSync(outside, { recursive: true });
    }
  });

  it('does not touch a neighbour whose name begins alike (case 6, CVE-2025-59343)', async () => {
    const [short, long] = ['ab', 'abc'];
    await snapshots.createContainer(short, undefined);
    const path = await snapshots.createContainer(long, undefined);
    execFileSync('mount', ['--bind', path, path]);
    try {
      await snapshots.removeContainer(short);
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).to.contain(`${long}/rootfs`);
    } finally {
      execFileSync('umount', [path]);
    }
    await snapshots.removeContainer(long);
  });

  it('commits over what a crash left under the name, and sweeps every step of a cut commit', async () => {
    const layer = digestOf(randomBytes(8)) as ChainId;
    const key = newKey();
    btrfs('subvolume', 'create', join(root, 'layers', digestHex(layer)));
    expect(await snapshots.has(layer)).to.equal(false);
    writeFileSync(join(await snapshots.prepare(key, undefined), 'whole'), '');
    await snapshots.commit(layer, key);
    expect(readdirSync(snapshots.layerPath(layer))).to.deep.equal(['whole']);
    const dead = newKey();
    btrfs('subvolume', 'create', join(root, 'work', dead));
    renameSync(join(root, 'work', dead), join(root, 'layers', `.${dead}`));
    btrfs('property', 'set', '-ts', join(root, 'layers', `.${dead}`), 'ro', 'true');
    btrfs('subvolume', 'snapshot', '-r', snapshots.layerPath(layer), join(root, 'layers', `.gone-${newKey()}`));
    btrfs('subvolume', 'create', join(root, 'trash', dead));
    await snapshots.sweep();
    expect(readdirSync(join(root, 'layers')).filter((name) => name.startsWith('.'))).to.deep.equal([]);
    expect(readdirSync(join(root, 'trash'))).to.deep.equal([]);
    expect(await snapshots.has(layer)).to.equal(true);
  });

  it('asks which keys are alive and which containers are wanted', async () => {
    const [busy, idle, wanted, unwanted] = [newKey(), newKey(), newKey(), newKey()];
    for (const key of [busy, idle]) btrfs('subvolume', 'create', join(root, 'work', key));
    for (const id of [wanted, unwanted]) await snapshots.createContainer(id, undefined);
    const asking = createSnapshotter({ root, isAlive: (key) => key === busy, isContainer: (id) => id === wanted });
    await asking.sweep();
    expect(readdirSync(join(root, 'work')))
      .to.include(busy)
      .and.not.include(idle);
    expect(readdirSync(join(root, 'containers')))
      .to.include(wanted)
      .and.not.include(unwanted);
    await snapshots.removeWork(busy);
    await snapshots.removeContainer(wanted);
  });

  it('says which directory of a container cannot be removed, and removes the others', async () => {
    const [strange, unwanted] = [newKey(), newKey()].sort();
    mkdirSync(join(root, 'containers', strange!, 'strange'), { recursive: true });
    await snapshots.createContainer(unwanted!, undefined);
    const asking = createSnapshotter({ root, isContainer: () => false });
    expect((await asking.sweep()).join())
      .to.contain(strange)
      .and.contain('directory not empty');
    expect(readdirSync(join(root, 'containers'))).to.deep.equal([strange]);
    rmSync(join(root, 'containers', strange!), { recursive: true });
  });

  it('never follows a link out of what it removes, not even one that cannot be removed (chattr +i)', async () => {
    const [left, outside] = [join(root, 'trash', newKey()), join(root, 'outside')];
    for (const path of [join(left, 'locked'), outside]) mkdirSync(path, { recursive: true });
    writeFileSync(join(outside, 'file'), '');
    symlinkSync(outside, join(left, 'locked/link'));
    execFileSync('chattr', ['+i', join(left, 'locked')]);
    try {
      expect(await snapshots.sweep()).to.have.length(1);
      expect(readdirSync(outside)).to.deep.equal(['file']);
    } finally {
      execFileSync('chattr', ['-i', join(left, 'locked')]);
    }
    expect(await snapshots.sweep()).to.deep.equal([]);
    expect(readdirSync(outside)).to.deep.equal(['file']);
  });

  it('removes what can be removed beside a swap file in use, and says what stays', async () => {
    const stuck = join(root, 'trash', newKey());
    const gone = join(root, 'trash', newKey());
    for (const path of [stuck, gone]) btrfs('subvolume', 'create', path);
    const make = 'touch s; chmod 600 s; chattr +C s; fallocate -l 4M s; mkswap -q s; swapon s';
    execFileSync('sh', ['-ec', make], { cwd: stuck });
    try {
      const notes = await snapshots.sweep();
      expect(notes.join('\n')).to.match(new RegExp(`^cannot remove ${stuck}, which is no longer needed: .*$`));
    } finally {
      execFileSync('swapoff', [join(stuck, 's')]);
    }
    expect(readdirSync(join(root, 'trash'))).to.have.lengthOf(1);
    expect(await snapshots.sweep()).to.deep.equal([]);
    expect(readdirSync(join(root, 'trash'))).to.deep.equal([]);
  });
});
