import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ImageRecord } from '../../lib/metadata/index.js';
import { checkStore, type CheckRequest, type Finding, type StoreCheck } from '../../lib/operations/maintain/index.js';
import { digestHex, type Digest } from '../../lib/spec/index.js';
import type { LayerTable } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import type { Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { makeTestStore, type TestStore } from '../helpers/test-store.js';

const layer = (path: string): LayerTable => ({ entries: [{ path, content: path }] });

describe('operations/maintain: check and repair', () => {
  const suite = scriptedSuite();
  let store: TestStore;
  let image: ImageRecord;
  beforeEach(async () => {
    store = await makeTestStore();
    image = await store.add({ tag: 'localhost/a:1', layers: [layer('one'), layer('two')] });
  });

  const check = (more: Partial<CheckRequest> = {}): Promise<StoreCheck> =>
    checkStore({ ...store.deps, registry: suite.client() }, { ...store.common, quick: false, repair: false, ...more });
  const findings = async (more?: Partial<CheckRequest>): Promise<readonly Finding[]> => (await check(more)).findings;
  const inShort = (found: readonly Finding[]): string[] =>
    found.map(({ kind, subject, outcome }) => `${kind} ${subject} ${outcome}`);
  const isClean = async (): Promise<void> => expect(await findings()).to.deep.equal([]) as never;
  function damage(digest: Digest): Buffer {
    const path = store.deps.content.path(digest);
    const good = readFileSync(path);
    chmodSync(path, 0o600);
    writeFileSync(path, Buffer.concat([Buffer.from([good[0]! ^ 1]), good.subarray(1)]));
    return good;
  }
  function edit(depth: number, script: string): void {
    const path = store.deps.snapshots.layerPath(image.chainIds[depth]!);
    const writable = `btrfs property set -f . ro false; ${script}; btrfs property set -f . ro true`;
    execFileSync('sh', ['-ec', writable], { cwd: path });
  }
  /** Lets the image be one of a registry that serves these blobs and manifests. */
  async function pulledFrom(
    ...served: readonly (readonly [kind: 'blobs' | 'manifests', bytes: Buffer])[]
  ): Promise<void> {
    const steps = served.map(([kind, body]): Step => ({
      method: 'GET',
      path: `/v2/a/b/${kind}/sha256:${createHash('sha256').update(body).digest('hex')}`,
      reply: { body, headers: kind === 'manifests' ? { 'content-type': image.manifest.mediaType } : {} },
    }));
    const { host } = await suite.serve(...steps);
    image = { ...image, sources: [`${host}/a/b@${image.manifest.digest}`] };
    await store.deps.metadata.images.put(image);
  }

  it('a whole store: everything is counted, nothing is found', async () => {
    await store.add({ tag: 'localhost/b:1', layers: [layer('one'), layer('three')] });
    // Two images with a layer in common: three layers, and a config and a manifest each.
    for (const quick of [true, false])
      expect(await check({ quick })).to.deep.equal({ blobs: 7, layers: 3, images: 2, findings: [] });
    expect(store.notes).to.deep.equal([]);
  });

  describe('a damaged blob', () => {
    it('is found by reading it, and not touched', async () => {
      const { digest } = image.layers[0]!;
      damage(digest);
      expect(await findings({ quick: true })).to.deep.equal([]);
      const before = await store.contents();
      const [found, ...others] = await findings();
      expect(others).to.deep.equal([]);
      expect(found).to.deep.include({ kind: 'blob', subject: digest, outcome: 'found', repaired: false });
      expect(found!.problem).to.match(/^its bytes have the digest sha256:[0-9a-f]{64}$/);
      expect(found!.problem).not.to.include(digest);
      expect(await store.contents()).to.deep.equal(before);
    });

    it('comes back from the registry that the image is from', async () => {
      const { digest } = image.layers[1]!;
      const good = damage(digest);
      await pulledFrom(['blobs', good]);
      expect(inShort(await findings({ repair: true }))).to.deep.equal([`blob ${digest} repaired`]);
      expect(readFileSync(store.deps.content.path(digest)).equals(good)).to.equal(true);
      await isClean();
    });

    it('that no registry has is missing: it is gone, and a hint says what brings it back', async () => {
      const { digest } = image.layers[1]!;
      damage(digest);
      const [found] = await findings({ repair: true });
      expect(found).to.deep.include({ subject: digest, outcome: 'missing', repaired: false });
      expect(found!.hint).to.equal('load or import the image again, or remove it: imgtool rmi localhost/a:1');
      expect(await store.deps.content.stat(digest)).to.equal(undefined);
      expect(await store.deps.snapshots.listLayers(), 'the layer itself is good').to.have.members(image.chainIds);
    });

    it('that nothing needs is removed', async () => {
      const digest = await store.deps.content.put(Buffer.from('of no image'));
      damage(digest);
      expect(inShort(await findings({ repair: true }))).to.deep.equal([`blob ${digest} removed`]);
      await isClean();
    });
  });

  describe('a layer', () => {
    for (const [what, script, problem] of [
      ['a changed file', 'echo else >one', 'its files are not those of its blob: /one'],
      ['a file too many', 'touch more; touch another', 'its files are not those of its blob: /another and 1 more'],
      ['another owner', 'chown 5 one', 'its files are not those of its blob: /one'],
      [
        'a flag that no layer can hold',
        'chattr +d one',
        'its files have flags that are not in its blob (lsattr): /one',
      ],
    ] as const)
      it(`with ${what} is found, and unpacked again with the one above it`, async () => {
        edit(0, script);
        const found = await findings();
        expect(
          found.filter(({ subject }) => subject === image.chainIds[0]).map(({ problem: one }) => one),
        ).to.deep.equal([problem]);
        expect(await findings({ quick: true })).to.deep.equal([]);
        const repaired = await findings({ repair: true });
        expect(repaired.every(({ outcome }) => outcome === 'repaired')).to.equal(true);
        const top = store.deps.snapshots.layerPath(image.chainIds[1]!);
        expect(readFileSync(join(top, 'one'), 'utf8')).to.equal('one');
        await isClean();
      });

    it('with another time only is good: a commit with SOURCE_DATE_EPOCH keeps the newer time', async () => {
      edit(0, 'touch one');
      await isClean();
    });

    it('that is missing is unpacked from its blob again', async () => {
      await store.deps.snapshots.removeLayer(image.chainIds[1]!);
      const found = await findings({ quick: true });
      expect(inShort(found)).to.deep.equal([`layer ${image.chainIds[1]} found`, `image ${image.id} found`]);
      expect(found[0]!.problem).to.equal('it is missing');
      const repaired = await findings({ quick: true, repair: true });
      expect(repaired.map(({ outcome }) => outcome)).to.deep.equal(['repaired', 'repaired']);
      await isClean();
    });

    it('without a record is replaced, and the one made from it', async () => {
      await store.deps.metadata.layers.delete(digestHex(image.chainIds[0]!));
      edit(0, 'rm one');
      const found = await findings({ quick: true });
      expect(
        found.filter(({ kind }) => kind === 'layer').map(({ subject, problem }) => [subject, problem]),
      ).to.deep.equal([
        [image.chainIds[0], 'it has no record: a process was killed before it was complete'],
        [image.chainIds[1], 'it was made from a layer that has no record'],
      ]);
      await findings({ repair: true });
      expect(readFileSync(join(store.deps.snapshots.layerPath(image.chainIds[1]!), 'one'), 'utf8')).to.equal('one');
      await isClean();
    });

    it('written in a boot that ended before a sync may be incomplete', async () => {
      const key = digestHex(image.chainIds[1]!);
      const record = (await store.deps.metadata.layers.get(key))!;
      const other = { ...record, sealed: false, bootId: 'an earlier boot' };
      await store.deps.metadata.layers.put(key, other);
      const found = await findings({ quick: true });
      expect(found[0]).to.include({ kind: 'layer', subject: image.chainIds[1] });
      expect(found[0]!.problem).to.equal('it was written just before a restart and may be incomplete');
      await store.deps.metadata.layers.put(key, { ...other, sealed: true });
      await isClean();
    });

    it('that only a container needs, without its blob: the hint is to remove the container', async () => {
      const [base] = image.chainIds;
      const id = 'c'.repeat(64);
      await store.deps.metadata.containers.put(id, {
        ...{ version: 1, id, name: 'box', image: image.id, imageName: 'localhost/a:1', base: base! },
        created: new Date().toISOString(),
      });
      await store.deps.metadata.images.delete(image);
      await store.deps.snapshots.removeLayer(base!);
      const found = (await findings({ quick: true, repair: true })).find(({ subject }) => subject === base);
      expect(found).to.include({ outcome: 'missing', hint: 'remove the container that was made from it: imgtool rm' });
    });
  });

  it('a manifest and a config that are gone come back from the registry, as the image needs them', async () => {
    const { content } = store.deps;
    const [manifest, config] = [await content.read(image.manifest.digest), await content.read(image.config.digest)];
    await pulledFrom(['blobs', config], ['manifests', manifest]);
    for (const { digest } of [image.manifest, image.config]) await content.delete(digest);
    const found = await findings({ quick: true });
    expect(found.map(({ problem }) => problem)).to.deep.equal([
      `its manifest ${image.manifest.digest} is missing`,
      `its config ${image.config.digest} is missing`,
    ]);
    expect(inShort(await findings({ repair: true }))).to.deep.equal(Array(2).fill(`image ${image.id} repaired`));
    expect((await content.read(image.manifest.digest)).equals(manifest)).to.equal(true);
    await isClean();
  });

  it('a registry that refuses is noted, the other images are repaired all the same', async () => {
    const other = await store.add({ tag: 'localhost/b:1', layers: [layer('three')] });
    damage(image.config.digest);
    await store.deps.snapshots.removeLayer(other.chainIds[0]!);
    const { host } = await suite.serve({
      method: 'GET',
      path: `/v2/a/b/blobs/${image.config.digest}`,
      reply: { status: 403 },
    });
    await store.deps.metadata.images.put({ ...image, sources: [`${host}/a/b@${image.manifest.digest}`] });
    const found = await findings({ repair: true });
    expect(inShort(found)).to.have.members([
      `blob ${image.config.digest} missing`,
      `image ${image.id} missing`,
      `layer ${other.chainIds[0]} repaired`,
      `image ${other.id} repaired`,
    ]);
    expect(found.flatMap(({ hint }) => hint ?? [])).to.deep.equal(Array(2).fill('imgtool pull localhost/a:1'));
    expect(store.notes.filter((line) => line.startsWith('image localhost/a:1: '))).to.have.length(1);
  });

  it('a repair waits until others have finished, and can be ended meanwhile; a check does not wait', async () => {
    const others = await store.deps.metadata.lock('store', { mode: 'shared', signal: store.common.signal });
    await isClean();
    const abort = new AbortController();
    const waiting = rejection(check({ repair: true, signal: abort.signal }));
    await store.noted('waiting for other imgtool processes');
    abort.abort();
    expect((await waiting).name).to.equal('AbortError');
    others.release();
  });
});
