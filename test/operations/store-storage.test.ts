import { chmodSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { DiskSpaceError } from '../../lib/errors.js';
import type { ImageRecord } from '../../lib/metadata/index.js';
import { flattenImage } from '../../lib/operations/mutate/index.js';
import { openStoreStorage } from '../../lib/operations/serve/index.js';
import type { RegistryStorage } from '../../lib/server/index.js';
import { digestOf, type Descriptor, type Digest } from '../../lib/spec/index.js';
import type { LayerTable } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import { makeTestStore, type TestStore } from '../helpers/test-store.js';

const layer = (path: string): LayerTable => ({ entries: [{ path, content: path }] });

describe('operations/serve: the store as a registry', () => {
  let store: TestStore;
  let storage: RegistryStorage;
  const open: RegistryStorage[] = [];
  const serve = (reserveBytes = 0): RegistryStorage => {
    const opened = openStoreStorage(store.deps, { reserveBytes, signal: store.common.signal });
    open.push(opened);
    return opened;
  };
  beforeEach(async () => {
    store = await makeTestStore();
    storage = serve();
  });
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });

  /** What a client gets as the bytes of a blob. */
  async function get(repository: string, digest: Digest, from = storage): Promise<Buffer | undefined> {
    const blob = await from.openBlob(repository, digest);
    if (blob === undefined) return undefined;
    try {
      const bytes = await blob.handle.readFile();
      expect(bytes.length).to.equal(blob.size);
      return bytes;
    } finally {
      await blob.handle.close();
    }
  }
  const rename = (image: ImageRecord, names: readonly string[], sources: readonly string[] = []): Promise<void> =>
    store.deps.metadata.images.put({ ...image, names, sources });
  /** An image of one layer that imgtool packed, and its record. */
  async function ownImage(name: string): Promise<ImageRecord> {
    const base = await store.add({ tag: 'localhost/base:1', layers: [layer('one'), layer('two')] });
    const reference = { host: 'localhost', repository: name, tag: '1' };
    const { id } = await flattenImage(store.deps, { ...store.common, image: base.id, reference, changes: [] });
    return (await store.deps.metadata.images.ofImage(id))[0]!;
  }

  it('an image is in the repository of its name without the host, with its manifest, config and layers', async () => {
    const image = await store.add({ tag: 'registry.example/team/app:1.0', layers: [layer('one')] });
    expect(await storage.repositories()).to.deep.equal(['team/app']);
    expect(await storage.tags('team/app')).to.deep.equal(['1.0']);
    expect(await storage.tags('team/other')).to.equal(undefined);
    expect(await storage.tagDigest('team/app', '1.0')).to.equal(image.manifest.digest);
    const manifest = await storage.findManifest('team/app', { tag: '1.0' });
    expect(manifest!.descriptor).to.deep.equal(image.manifest);
    expect(digestOf(manifest!.bytes)).to.equal(image.manifest.digest);
    for (const blob of [image.config, ...image.layers]) {
      expect(await storage.statBlob('team/app', blob.digest)).to.include({ size: blob.size });
      expect(digestOf((await get('team/app', blob.digest))!)).to.equal(blob.digest);
    }
    expect(storage.writer, 'read-only').to.equal(undefined);
  });

  it('a blob is served in the repositories of its image only', async () => {
    const image = await store.add({ tag: 'localhost/mine:1', layers: [layer('one')] });
    await store.add({ tag: 'localhost/yours:1', layers: [layer('two')] });
    const [{ digest }] = image.layers as [Descriptor];
    expect(await get('yours', digest)).to.equal(undefined);
    expect(await storage.statBlob('yours', digest)).to.equal(undefined);
    expect(await storage.hasManifest('yours', image.manifest.digest)).to.equal(false);
    expect(await storage.hasManifest('mine', image.manifest.digest)).to.equal(true);
  });

  it('of hosts with one path: the one that is named, then Docker Hub, then by name; each also with its host', async () => {
    const [hub, first, second] = [
      await store.add({ tag: 'a:1', layers: [layer('hub')] }),
      await store.add({ tag: 'b:1', layers: [layer('first')] }),
      await store.add({ tag: 'c:1', layers: [layer('second')] }),
    ];
    await rename(hub, ['docker.io/team/app:1']);
    await rename(first, ['a.example:5000/team/app:1', 'a.example:5000/team/app:2']);
    await rename(second, ['b.example/team/app:2'], [`b.example/other@${second.manifest.digest}`]);
    expect(await storage.repositories()).to.deep.equal([
      'a.example_5000/team/app',
      'b.example/team/app',
      'docker.io/team/app',
      'other',
      'team/app',
    ]);
    const led = (repository: string, tag: string): Promise<Digest | undefined> => storage.tagDigest(repository, tag);
    expect(await led('team/app', '1')).to.equal(hub.manifest.digest);
    expect(await led('a.example_5000/team/app', '1')).to.equal(first.manifest.digest);
    expect(await led('team/app', '2')).to.equal(first.manifest.digest);
    expect(await led('b.example/team/app', '2')).to.equal(second.manifest.digest);
    // Known by digest only.
    expect(await storage.tags('other')).to.deep.equal([]);
    expect(await storage.hasManifest('other', second.manifest.digest)).to.equal(true);
  });

  it('the version of the tags of a repository changes with them, and with nothing else', async () => {
    const image = await store.add({ tag: 'localhost/app:1', layers: [layer('one')] });
    const version = (): Promise<string | undefined> => storage.tagsVersion!('app');
    const before = await version();
    await store.add({ tag: 'localhost/other:1', layers: [layer('two')] });
    expect(await version()).to.equal(before);
    await rename(image, ['localhost/app:1', 'localhost/app:2']);
    expect(await version()).not.to.equal(before);
  });

  it('a client that has the manifest gets all of an image that is removed meanwhile, another client nothing', async () => {
    const image = await store.add({ tag: 'localhost/app:1', layers: [layer('one'), layer('two')] });
    await storage.findManifest('app', { tag: '1' });
    await store.deps.metadata.images.delete(image);
    for (const { digest } of [image.manifest, image.config, ...image.layers]) await store.deps.content.delete(digest);
    expect(await storage.tags('app')).to.equal(undefined);
    expect(await storage.findManifest('app', { tag: '1' })).to.equal(undefined);
    const { digest } = image.manifest;
    expect((await storage.findManifest('app', { digest }))!.descriptor).to.deep.equal(image.manifest);
    for (const blob of [image.config, ...image.layers])
      expect(digestOf((await get('app', blob.digest))!)).to.equal(blob.digest);
    const other = serve();
    expect(await other.findManifest('app', { digest })).to.equal(undefined);
    expect(await get('app', image.config.digest, other)).to.equal(undefined);
  });

  it('a damaged manifest is not served, and named', async () => {
    const image = await store.add({ tag: 'localhost/app:1', layers: [layer('one')] });
    const path = store.deps.content.path(image.manifest.digest);
    chmodSync(path, 0o600);
    writeFileSync(path, '{}');
    expect(await storage.findManifest('app', { tag: '1' })).to.equal(undefined);
    expect(store.notes.join()).to.include(image.manifest.digest);
  });

  describe('a layer whose blob is not in the store', () => {
    it('is packed from its files with the bytes it had, once for all who ask', async () => {
      const { layers } = await ownImage('own');
      const [{ digest, size }] = layers as [Descriptor];
      const bytes = await get('own', digest);
      await store.deps.content.delete(digest);
      const before = store.notes.length;
      const [first, second, stat] = await Promise.all([
        get('own', digest),
        get('own', digest),
        storage.statBlob('own', digest),
      ]);
      expect(first!.equals(bytes!)).to.equal(true);
      expect(second!.equals(bytes!)).to.equal(true);
      expect(stat).to.include({ size });
      expect(store.notes.slice(before)).to.have.length(1);
      expect(await store.deps.content.stat(digest), 'and stays').to.deep.equal({ size });
    });

    it('which others packed has other bytes: it is not there, and not packed for each request', async () => {
      const image = await store.add({ tag: 'localhost/theirs:1', layers: [layer('one')] });
      const [{ digest }] = image.layers as [Descriptor];
      await store.deps.content.delete(digest);
      const before = await store.contents();
      expect(await storage.statBlob('theirs', digest)).to.equal(undefined);
      expect(store.notes.at(-1)).to.include(`${digest} of theirs is not in the store`);
      let packed = 0;
      const packLayer: typeof store.deps.packLayer = (input) => {
        packed += 1;
        return store.deps.packLayer(input);
      };
      const counting = openStoreStorage({ ...store.deps, packLayer }, { reserveBytes: 0, signal: store.common.signal });
      open.push(counting);
      for (let request = 0; request < 3; request += 1)
        expect(await get('theirs', digest, counting)).to.equal(undefined);
      expect(packed).to.equal(1);
      expect(await store.contents()).to.deep.equal(before);
    });

    it('and whose files are gone too is not there', async () => {
      const { layers, chainIds } = await ownImage('own');
      const [{ digest }] = layers as [Descriptor];
      await store.deps.content.delete(digest);
      await store.deps.snapshots.removeLayer(chainIds[0]!);
      expect(await get('own', digest)).to.equal(undefined);
    });

    it('is not packed where that would leave less than the reserve', async () => {
      const { layers } = await ownImage('own');
      const [{ digest, size }] = layers as [Descriptor];
      await store.deps.content.delete(digest);
      const error = await rejection(serve(2 ** 50).openBlob('own', digest));
      expect(error).to.be.instanceOf(DiskSpaceError);
      expect(error).to.include({ needed: size });
      expect(await store.deps.content.stat(digest)).to.equal(undefined);
    });

    it('and which is non-distributable is left to where its manifest says it is', async () => {
      const urls = ['https://layers.example/one'];
      const image = await store.add({ tag: 'localhost/foreign:1', layers: [{ ...layer('one'), urls }] });
      const [{ digest }] = image.layers as [Descriptor];
      await store.deps.content.delete(digest);
      expect(await get('foreign', digest)).to.equal(undefined);
      expect(store.notes.at(-1)).to.include(digest);
    });
  });
});
