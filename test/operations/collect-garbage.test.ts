import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ImageRecord } from '../../lib/metadata/index.js';
import { collectGarbage, type Garbage, type GarbageRequest } from '../../lib/operations/maintain/index.js';
import { chainIds, digestHex, digestOf, type ChainId, type Digest } from '../../lib/spec/index.js';
import type { LayerTable } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import { makeTestStore, type TestStore } from '../helpers/test-store.js';

const OLD_SECONDS = 1_000_000_000;
const NOTHING = { images: [], layers: [], blobs: [], downloads: [], uploads: 0, steps: [], caches: [], bytes: 0 };

const layer = (path: string, content = path): LayerTable => ({ entries: [{ path, content }] });

describe('operations/maintain: garbage', () => {
  let store: TestStore;
  beforeEach(async () => {
    store = await makeTestStore();
  });

  const gc = (more: Partial<GarbageRequest> = {}): Promise<Garbage> =>
    collectGarbage(store.deps, { ...store.common, dropBlobs: false, dryRun: false, ...more });
  /** Says what a dry run says, and does it. */
  async function collect(more: Partial<GarbageRequest> = {}): Promise<Garbage> {
    const before = await store.contents();
    const plan = await gc({ ...more, dryRun: true });
    expect(await store.contents(), 'a dry run changes nothing').to.deep.equal(before);
    const done = await gc(more);
    expect(done).to.deep.equal(plan);
    return done;
  }
  const forget = ({ chainIds: chain }: ImageRecord, depth: number): Promise<void> =>
    store.deps.metadata.layers.delete(digestHex(chain[depth]!));
  const chainsOf = ({ layers }: Garbage): ChainId[] => layers.map(({ chainId }) => chainId);
  const digestsOf = ({ blobs }: Garbage): Digest[] => blobs.map(({ digest }) => digest);
  const layersHere = (): Promise<ChainId[]> => store.deps.snapshots.listLayers();
  async function useIn(image: ImageRecord): Promise<void> {
    const id = 'c'.repeat(64);
    const created = new Date().toISOString();
    const base = image.chainIds.at(-1)!;
    const names = { name: 'box', image: image.id, imageName: image.names[0]! };
    await store.deps.metadata.containers.put(id, { version: 1, id, ...names, base, created });
  }

  it('an image that is removed takes its layers and blobs along, but none that another image has', async () => {
    const kept = await store.add({ tag: 'localhost/kept:1', layers: [layer('shared'), layer('mine')] });
    const other = await store.add({ tag: 'localhost/other:1', layers: [layer('shared'), layer('yours')] });
    expect(await collect()).to.deep.equal(NOTHING);
    await store.deps.metadata.images.delete(other);
    const found = await collect();
    expect(chainsOf(found)).to.deep.equal([other.chainIds[1]]);
    const blobs = [other.manifest, other.config, other.layers[1]!];
    expect(digestsOf(found)).to.have.members(blobs.map(({ digest }) => digest));
    // A layer counts as its plain tar: a header and a block of content, and two empty blocks.
    expect(found.bytes).to.equal(2048 + blobs.reduce((total, { size }) => total + size, 0));
    expect(await layersHere()).to.have.members(kept.chainIds);
    expect(await collect()).to.deep.equal(NOTHING);
  });

  it('a container keeps the layers below it with their blobs, though its image is removed', async () => {
    const image = await store.add({ tag: 'localhost/a:1', layers: [layer('one'), layer('two')] });
    await useIn(image);
    await store.deps.metadata.images.delete(image);
    const found = await collect();
    expect(found.layers).to.deep.equal([]);
    expect(digestsOf(found)).to.have.members([image.manifest.digest, image.config.digest]);
    await store.deps.metadata.containers.delete('c'.repeat(64));
    expect(chainsOf(await collect())).to.have.members(image.chainIds);
    expect(await store.contents()).to.deep.equal([]);
  });

  it('a layer without a record goes, and those made from it, though an image has them', async () => {
    const image = await store.add({ tag: 'localhost/a:1', layers: [layer('one'), layer('two'), layer('three')] });
    await forget(image, 1);
    const found = await collect();
    expect(chainsOf(found)).to.have.members(image.chainIds.slice(1));
    expect(found.blobs, 'they are unpacked from their blobs again').to.deep.equal([]);
    expect(await layersHere()).to.deep.equal([image.chainIds[0]]);
  });

  describe('of transfers', () => {
    const descriptor = { mediaType: 'x', digest: digestOf(Buffer.from('whole')), size: 5 };

    it('a download goes a day after it last grew, unless a process is at it', async () => {
      const { content } = store.deps;
      const ingest = (await content.beginIngest(descriptor, store.common))!;
      await ingest.write(Buffer.from('who'));
      await utimes(ingest.path, OLD_SECONDS, OLD_SECONDS);
      expect(await collect()).to.deep.equal(NOTHING);
      await ingest.release();
      const now = Date.now() / 1000;
      await utimes(ingest.path, now - 23 * 3600, now - 23 * 3600);
      expect(await collect()).to.deep.equal(NOTHING);
      await utimes(ingest.path, now - 25 * 3600, now - 25 * 3600);
      const found = await collect();
      expect(found).to.deep.equal({ ...NOTHING, downloads: [{ digest: descriptor.digest, size: 3 }], bytes: 3 });
      expect(await store.contents()).to.deep.equal([]);
    });

    it('a layer of protocol v1 is named by its ID and its registry', async () => {
      const id = 'd'.repeat(64);
      const part = await store.deps.content.beginPart(`v1 layer registry.example:5000 ${id}`, store.common);
      await part.write(Buffer.from('half'));
      await part.release();
      const [entry] = await store.contents();
      await utimes(join(store.root, entry!, 'data'), OLD_SECONDS, OLD_SECONDS);
      const { downloads } = await collect();
      expect(downloads).to.deep.equal([{ digest: null, host: 'registry.example:5000', v1Id: id, size: 4 }]);
      expect(await store.contents()).to.deep.equal([]);
    });

    it('an upload is forgotten after a week', async () => {
      const { uploads } = store.deps.metadata;
      const upload = (letter: string, days: number): Promise<void> =>
        uploads.put(letter.repeat(64), {
          ...{ version: 1, key: letter.repeat(64), host: 'registry.example', repository: 'a/b' },
          ...{ digest: descriptor.digest, location: '/v2/a/b/blobs/uploads/1', offset: 0 },
          begun: new Date(Date.now() - days * 86_400_000).toISOString(),
        });
      await upload('a', 6.9);
      await upload('b', 7.1);
      expect(await collect()).to.deep.equal({ ...NOTHING, uploads: 1 });
      expect((await uploads.list()).map(({ key }) => key)).to.deep.equal(['a'.repeat(64)]);
    });
  });

  describe('with a limit', () => {
    const KIB = 1024;
    let images: ImageRecord[];
    beforeEach(async () => {
      images = [];
      for (const [position, name] of ['newest', 'oldest', 'middle'].entries()) {
        const pulled = `2024-01-0${[3, 1, 2][position]}T00:00:00.000Z`;
        const image = await store.add({
          tag: `localhost/${name}:1`,
          layers: [layer('shared'), { ...layer(name, 'x'.repeat(100 * KIB)), compression: 'none' }],
        });
        images.push({ ...image, pulled });
        await store.deps.metadata.images.put({ ...image, pulled });
      }
    });
    const namesOf = (found: Garbage): string[] => found.images.flatMap(({ names }) => names);
    /** Bytes of the tar and the blob of one own layer. */
    const OWN = 2 * 103 * KIB;

    it('images go that were pulled longest ago, until the rest fits', async () => {
      expect(namesOf(await gc({ keepBytes: 4 * OWN, dryRun: true }))).to.deep.equal([]);
      const found = await collect({ keepBytes: 2.5 * OWN });
      expect(namesOf(found)).to.deep.equal(['localhost/oldest:1']);
      expect(chainsOf(found)).to.deep.equal([images[1]!.chainIds[1]]);
      expect(namesOf(await collect({ keepBytes: 1.5 * OWN }))).to.deep.equal(['localhost/middle:1']);
      expect(await layersHere()).to.have.members(images[0]!.chainIds);
    });

    it('none that a container uses, even if that is too much', async () => {
      await useIn(images[1]!);
      const found = await collect({ keepBytes: 0 });
      expect(namesOf(found)).to.deep.equal(['localhost/middle:1', 'localhost/newest:1']);
      expect((await store.deps.metadata.images.list()).map(({ id }) => id)).to.deep.equal([images[1]!.id]);
    });
  });

  describe('of blobs that a registry has', () => {
    it('those of layers go; documents and the layers of images without a source stay', async () => {
      const pulled = await store.add({ tag: 'localhost/pulled:1', layers: [layer('one'), layer('two')] });
      await store.add({ tag: 'localhost/own:1', layers: [layer('one'), layer('three')] });
      const sources = [`registry.example/a/b@${pulled.manifest.digest}`];
      await store.deps.metadata.images.put({ ...pulled, sources });
      expect(await collect()).to.deep.equal(NOTHING);
      const found = await collect({ dropBlobs: true });
      expect(digestsOf(found)).to.have.members(pulled.layers.map(({ digest }) => digest));
      expect(found.layers).to.deep.equal([]);
      const records = await store.deps.metadata.layers.list();
      expect(
        records.every(({ sealed }) => sealed),
        'the layers are safe before their blobs go',
      ).to.equal(true);
    });

    it('not that of a layer which has no record or is missing: only the blob brings it back', async () => {
      const image = await store.add({ tag: 'localhost/a:1', layers: [layer('one'), layer('two'), layer('three')] });
      await store.deps.metadata.images.put({ ...image, sources: [`registry.example/a/b@${image.manifest.digest}`] });
      await forget(image, 1);
      const found = await collect({ dropBlobs: true });
      expect(digestsOf(found)).to.deep.equal([image.layers[0]!.digest]);
      expect(chainsOf(found)).to.have.members(chainIds(image.diffIds).slice(1));
    });
  });

  it('waits until others have finished their work, a dry run does not; the wait can be ended', async () => {
    const image = await store.add({ tag: 'localhost/a:1', layers: [layer('one')] });
    await store.deps.metadata.images.delete(image);
    const others = await store.deps.metadata.lock('store', { mode: 'shared', signal: store.common.signal });
    const before = await store.contents();
    expect(chainsOf(await gc({ dryRun: true }))).to.deep.equal(image.chainIds);
    const abort = new AbortController();
    const note = store.noted('waiting for other imgtool processes');
    const waiting = rejection(gc({ signal: abort.signal }));
    await note;
    abort.abort();
    expect((await waiting).name).to.equal('AbortError');
    expect(await store.contents()).to.deep.equal(before);
    const patient = gc();
    await store.noted('waiting for other imgtool processes', 2);
    others.release();
    expect(chainsOf(await patient)).to.deep.equal(image.chainIds);
  });
});
