import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidReferenceError, NotFoundError, SubvolumeError } from '../../lib/errors.js';
import { changes, type Snapshotter } from '../../lib/snapshot/index.js';
import { digestOf, type ChainId } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';

/** A snapshotter to judge, and the root it works on. */
export interface SnapshotterUnderTest {
  readonly snapshots: Snapshotter;
  readonly root: string;
}

const newKey = (): string => randomBytes(16).toString('hex');
const newLayer = (): ChainId => digestOf(randomBytes(8)) as ChainId;

/** The contract of Snapshotter, for any driver. */
export function describeSnapshotter(open: () => SnapshotterUnderTest): void {
  let snapshots: Snapshotter;
  let root: string;
  beforeEach(() => {
    ({ snapshots, root } = open());
  });

  async function layerOf(parent: ChainId | undefined, file: string): Promise<ChainId> {
    const [key, layer] = [newKey(), newLayer()];
    writeFileSync(join(await snapshots.prepare(key, parent), file), file);
    await snapshots.commit(layer, key);
    return layer;
  }

  it('commits layers, each a read-only snapshot of its parent', async () => {
    const bottom = await layerOf(undefined, 'bottom');
    const top = await layerOf(bottom, 'top');
    expect(readdirSync(snapshots.layerPath(top)).sort()).to.deep.equal(['bottom', 'top']);
    expect(readdirSync(snapshots.layerPath(bottom))).to.deep.equal(['bottom']);
    expect(() => writeFileSync(join(snapshots.layerPath(top), 'x'), '')).to.throw('EROFS');
    expect(await snapshots.has(top)).to.equal(true);
    expect(await snapshots.has(newLayer())).to.equal(false);
    expect(await snapshots.listLayers()).to.include.members([bottom, top]);
    expect(statSync(snapshots.layerPath(bottom)).mode & 0o777).to.equal(0o755);
  });

  it('goes on above work that has no name yet, and knows afterwards what changed', async () => {
    const [below, above] = [newKey(), newKey()];
    const [bottom, top] = [newLayer(), newLayer()];
    writeFileSync(join(await snapshots.prepare(below, undefined), 'bottom'), '');
    const path = await snapshots.prepare(above, { work: below });
    await Promise.all([snapshots.commit(bottom, below), writeFile(join(path, 'top'), '')]);
    await snapshots.commit(top, above);
    expect(readdirSync(snapshots.layerPath(bottom))).to.deep.equal(['bottom']);
    const notes: string[] = [];
    const found = await changes({
      lower: snapshots.layerPath(bottom),
      upper: snapshots.layerPath(top),
      onNote: (line) => notes.push(line),
    });
    expect(found.map(({ kind, path: changed }) => `${kind} ${changed.toString()}`)).to.include('A /top');
    expect(notes).to.deep.equal([]);
    expect(await rejection(snapshots.prepare(newKey(), { work: below }))).to.be.instanceOf(SubvolumeError);
  });

  it('keeps the layer that another was faster to commit', async () => {
    const [first, second, layer] = [newKey(), newKey(), newLayer()];
    writeFileSync(join(await snapshots.prepare(first, undefined), 'first'), '');
    writeFileSync(join(await snapshots.prepare(second, undefined), 'second'), '');
    await snapshots.commit(layer, first);
    await snapshots.commit(layer, second);
    expect(readdirSync(snapshots.layerPath(layer))).to.deep.equal(['first']);
    expect(readdirSync(join(root, 'work'))).to.not.include(second);
  });

  it('refuses a parent that is not there, and a key in use', async () => {
    const key = newKey();
    expect(await rejection(snapshots.prepare(key, newLayer()))).to.be.instanceOf(NotFoundError);
    await snapshots.prepare(key, undefined);
    expect(await rejection(snapshots.prepare(key, undefined))).to.be.instanceOf(SubvolumeError);
    await snapshots.removeWork(key);
    await snapshots.removeWork(key);
  });

  it('makes writable containers that leave the layer alone', async () => {
    const layer = await layerOf(undefined, 'file');
    const id = newKey();
    const path = await snapshots.createContainer(id, layer);
    expect(path).to.equal(snapshots.containerPath(id));
    writeFileSync(join(path, 'file'), 'changed');
    expect(readFileSync(join(snapshots.layerPath(layer), 'file'), 'utf8')).to.equal('file');
    await snapshots.removeContainer(id);
    await snapshots.removeContainer(id);
    expect(existsSync(join(root, 'containers', id))).to.equal(false);
  });

  it('tells how much was written to a container', async () => {
    const base = await layerOf(undefined, 'base');
    const id = newKey();
    const container = await snapshots.createContainer(id, base);
    await snapshots.sync();
    expect(await snapshots.writtenBytes(id)).to.equal(0);
    const sizes = [10, 300_000, 4096 * 25];
    for (const size of sizes) writeFileSync(join(container, `added-${size}`), 'y'.repeat(size));
    truncateSync(join(container, 'added-10'), 1 << 30);
    await snapshots.sync();
    // Whole blocks of 4 KiB, for all but what is kept in the tree itself.
    const written = await snapshots.writtenBytes(id);
    expect(written).to.be.within(10 + 300_000 + 4096 * 25, 4096 + 303_104 + 4096 * 25);
    execFileSync('btrfs', ['-q', 'subvolume', 'create', join(container, 'inside')]);
    writeFileSync(join(container, 'inside/f'), 'z'.repeat(200_000));
    await snapshots.sync();
    expect(await snapshots.writtenBytes(id)).to.be.within(written + 200_000, written + 204_800);
    expect(await snapshots.writtenBytes(newKey())).to.equal(0);
    await snapshots.removeContainer(id);
  });

  it('lets a frozen container be changed, and no one afterwards', async () => {
    const [id, key] = [newKey(), newKey()];
    const container = await snapshots.createContainer(id, await layerOf(undefined, 'base'));
    const frozen = await snapshots.freeze(key, id);
    expect(() => writeFileSync(join(frozen, 'early'), '')).to.throw('EROFS');
    await snapshots.changeFrozen(key, (path) => {
      writeFileSync(join(path, 'changed'), '');
      return Promise.resolve();
    });
    expect(existsSync(join(frozen, 'changed'))).to.equal(true);
    expect(existsSync(join(container, 'changed'))).to.equal(false);
    expect(() => writeFileSync(join(frozen, 'late'), '')).to.throw('EROFS');
    await snapshots.removeWork(key);
    await snapshots.removeContainer(id);
  });

  it('freezes a container into a layer; the container goes on', async () => {
    const base = await layerOf(undefined, 'base');
    const [id, key, layer] = [newKey(), newKey(), newLayer()];
    const container = await snapshots.createContainer(id, base);
    writeFileSync(join(container, 'added'), '1');
    const frozen = await snapshots.freeze(key, id);
    writeFileSync(join(container, 'added'), '2');
    expect(readFileSync(join(frozen, 'added'), 'utf8')).to.equal('1');
    await snapshots.commit(layer, key);
    expect(readFileSync(join(snapshots.layerPath(layer), 'added'), 'utf8')).to.equal('1');
    const dropped = newKey();
    const path = await snapshots.freeze(dropped, id);
    await snapshots.removeWork(dropped);
    expect(existsSync(path)).to.equal(false);
    expect(await rejection(snapshots.freeze(newKey(), newKey()))).to.be.instanceOf(NotFoundError);
  });

  it('tells flags that a layer cannot say, and freezes a container without them', async () => {
    const [id, key, layer] = [newKey(), newKey(), newLayer()];
    const container = await snapshots.createContainer(id, await layerOf(undefined, 'base'));
    writeFileSync(join(container, 'kept'), '');
    execFileSync('chattr', ['+i', join(container, 'base'), join(container, 'kept'), container]);
    const frozen = await snapshots.freeze(key, id);
    expect(readdirSync(frozen).sort()).to.deep.equal(['base', 'kept']);
    await snapshots.commit(layer, key);
    expect([...(await snapshots.listMarked({ layer }))]).to.deep.equal([]);
    await snapshots.unlockContainer(id);
    writeFileSync(join(container, 'again'), '');
    await snapshots.removeContainer(id);
  });

  it('removes a layer whose children live on', async () => {
    const bottom = await layerOf(undefined, 'bottom');
    const top = await layerOf(bottom, 'top');
    await snapshots.removeLayer(bottom);
    await snapshots.removeLayer(bottom);
    expect(await snapshots.has(bottom)).to.equal(false);
    expect(readdirSync(snapshots.layerPath(top)).sort()).to.deep.equal(['bottom', 'top']);
    expect(readdirSync(join(root, 'trash'))).to.deep.equal([]);
  });

  it('refuses keys that are paths (CVE-2014-9358, CVE-2024-3727)', async () => {
    for (const key of ['../../x', '', 'A'.repeat(64), 'a/b', 'x\0'])
      expect(await rejection(snapshots.prepare(key, undefined)), key).to.be.instanceOf(InvalidReferenceError);
    for (const layer of ['sha256:../../x', `sha256:${'A'.repeat(64)}`, 'sha256:ab'])
      expect(() => snapshots.layerPath(layer as ChainId), layer).to.throw(InvalidReferenceError);
    expect(() => snapshots.containerPath('..')).to.throw(InvalidReferenceError);
  });

  it('sweeps what the dead left, not what is alive', async () => {
    const [mine, dead] = [newKey(), newKey()];
    const alive = await snapshots.prepare(mine, undefined);
    mkdirSync(join(root, 'work', dead));
    mkdirSync(join(root, 'trash', dead, 'deep'), { recursive: true });
    await snapshots.sweep();
    expect(existsSync(alive)).to.equal(true);
    expect(readdirSync(join(root, 'work'))).to.not.include(dead);
    expect(readdirSync(join(root, 'trash'))).to.deep.equal([]);
    await snapshots.removeWork(mine);
  });

  it('reports plausible space and syncs', async () => {
    await snapshots.sync();
    const report = await snapshots.space();
    expect(report.dataFree).to.be.within(1, report.total);
    expect(report.metadataFree).to.be.within(1, report.total);
  });
}
