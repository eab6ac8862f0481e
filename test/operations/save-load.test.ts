import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { createImageArchive } from '../../lib/archive/index.js';
import {
  AlreadyExistsError,
  ArchiveFormatError,
  DigestMismatchError,
  NotFoundError,
  UnsupportedMediaTypeError,
} from '../../lib/errors.js';
import type { ImageRecord } from '../../lib/metadata/index.js';
import { saveImages, type SavedImage, type SaveRequest } from '../../lib/operations/archives/index.js';
import { flattenImage } from '../../lib/operations/mutate/index.js';
import { digestHex, parsePlatform, type Descriptor, type Digest } from '../../lib/spec/index.js';
import { writeOciLayout, type LayerTable } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { makeTestStore, type TestStore } from '../helpers/test-store.js';

interface Index {
  manifests: (Descriptor & { annotations?: Record<string, string> })[];
}

const REF_NAME = 'org.opencontainers.image.ref.name';
const layer = (path: string): LayerTable => ({ entries: [{ path, content: path }] });

describe('operations/archives', () => {
  const suite = scriptedSuite();
  let store: TestStore;
  let layout: string;
  beforeEach(async () => {
    store = await makeTestStore();
    layout = join(store.root, '..', 'layout');
  });

  const images = (): Promise<ImageRecord[]> => store.deps.metadata.images.list();
  const namesOf = async (): Promise<Record<string, readonly string[]>> =>
    Object.fromEntries((await images()).map(({ id, names }) => [id, names]));
  const indexOf = async (directory: string): Promise<Index> =>
    JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as Index;
  async function editIndex(edit: (index: Index) => void): Promise<void> {
    const index = await indexOf(layout);
    edit(index);
    await writeFile(join(layout, 'index.json'), JSON.stringify(index));
  }

  describe('load', () => {
    it('all images with their names, oldest layers first; running again finds all there', async () => {
      await writeOciLayout(layout, [
        { tag: 'localhost/a:1', layers: [layer('one'), layer('two')] },
        { tag: 'localhost/b:1', layers: [layer('one'), layer('three')] },
      ]);
      const loaded = await store.load(layout);
      expect(loaded.map(({ names }) => names)).to.deep.equal([['localhost/a:1'], ['localhost/b:1']]);
      expect(loaded.map(({ layers }) => layers.map(({ state }) => state))).to.deep.equal([
        ['fetched', 'fetched'],
        ['present', 'fetched'],
      ]);
      const [a, b] = [await images().then((all) => all.find(({ id }) => id === loaded[0]!.id)), loaded[1]!];
      expect(readdirSync(store.deps.snapshots.layerPath(a!.chainIds[1]!)).sort()).to.deep.equal(['one', 'two']);
      const before = await store.contents();
      const again = await store.load(layout);
      expect(again.map(({ id }) => id)).to.deep.equal([a!.id, b.id]);
      expect(new Set(again.flatMap(({ layers }) => layers.map(({ state }) => state)))).to.deep.equal(
        new Set(['present']),
      );
      expect(await store.contents()).to.deep.equal(before);
    });

    it('a name that another image has: nothing is written, or it moves with "replace"', async () => {
      const old = await store.add({ tag: 'localhost/a:1', layers: [layer('one')] });
      await writeOciLayout(layout, [
        { tag: 'localhost/z:1', layers: [layer('two')] },
        { tag: 'localhost/a:1', layers: [layer('three')] },
      ]);
      const before = await store.contents();
      const error = await rejection(store.load(layout));
      expect(error).to.be.instanceOf(AlreadyExistsError);
      expect(error).to.include({ subject: 'localhost/a:1' });
      expect(error.message).to.include(old.id);
      expect([await store.contents(), await images()]).to.deep.equal([before, [old]]);
      const loaded = await store.load(layout, { replace: true });
      expect(await namesOf()).to.deep.equal({
        [old.id]: [],
        ...Object.fromEntries(loaded.map(({ id, names }) => [id, names])),
      });
      expect(store.notes.join()).to.include(`localhost/a:1 was image ${old.id}`);
    });

    it('an archive that gives one name to two images is refused', async () => {
      await writeOciLayout(layout, [
        { tag: 'localhost/a:1', layers: [layer('one')] },
        { tag: 'localhost/b:1', layers: [layer('two')] },
      ]);
      await editIndex(({ manifests }) =>
        manifests.forEach((entry) => (entry.annotations = { [REF_NAME]: 'localhost/a:1' })),
      );
      expect(await rejection(store.load(layout))).to.be.instanceOf(ArchiveFormatError);
      expect([await store.contents(), await images()]).to.deep.equal([[], []]);
    });

    it('of an index, the manifest of the platform', async () => {
      const of = (architecture: string) => ({
        ...{ tag: 'localhost/a:1', layers: [layer(architecture)] },
        platform: { os: 'linux', architecture },
      });
      await writeOciLayout(layout, [of('s390x'), of('riscv64')]);
      await store.load(layout, { platform: parsePlatform('linux/riscv64'), platformGiven: true });
      const [record, ...others] = await images();
      expect(others).to.deep.equal([]);
      expect(record!.platform).to.equal('linux/riscv64');
      expect(record!.index?.digest).to.equal((await indexOf(layout)).manifests[0]!.digest);
      expect(readdirSync(store.deps.snapshots.layerPath(record!.chainIds[0]!))).to.deep.equal(['riscv64']);
    });

    it('what is no image is left out with a note; an archive of nothing else is refused', async () => {
      await writeOciLayout(layout, [{ tag: 'localhost/a:1', layers: [layer('one')] }]);
      const config = { mediaType: 'application/vnd.example.config', digest: '', size: 0 };
      const bytes = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          config,
          layers: [],
        }),
      );
      const { mediaType } = (await indexOf(layout)).manifests[0]!;
      const blob = await writeBlob(bytes.toString().replace('"digest":""', `"digest":"sha256:${'a'.repeat(64)}"`));
      await editIndex(({ manifests }) => manifests.unshift({ mediaType, ...blob }));
      expect((await store.load(layout)).map(({ names }) => names)).to.deep.equal([['localhost/a:1']]);
      expect(store.notes.join()).to.include('application/vnd.example.config');
      await editIndex(({ manifests }) => manifests.pop());
      expect(await rejection(store.load(layout))).to.be.instanceOf(UnsupportedMediaTypeError);
    });

    async function writeBlob(text: string): Promise<{ digest: Digest; size: number }> {
      const digest = await store.deps.content.put(Buffer.from(text));
      await writeFile(join(layout, 'blobs/sha256', digestHex(digest)), text);
      return { digest, size: Buffer.byteLength(text) };
    }

    it('a layer that is not what its digest says: no image at all, names included, and no work left', async () => {
      await writeOciLayout(layout, [
        { tag: 'localhost/good:1', layers: [layer('one')] },
        { tag: 'localhost/bad:1', layers: [{ ...layer('two'), compression: 'none' }] },
      ]);
      const bad = (await indexOf(layout)).manifests[1]!;
      const manifest = JSON.parse(await readFile(join(layout, 'blobs/sha256', digestHex(bad.digest)), 'utf8')) as {
        layers: Descriptor[];
      };
      const path = join(layout, 'blobs/sha256', digestHex(manifest.layers[0]!.digest));
      const tar = await readFile(path);
      tar[512] = tar[512]! ^ 1;
      await writeFile(path, tar);
      expect(await rejection(store.load(layout))).to.be.instanceOf(DigestMismatchError);
      expect(await images()).to.deep.equal([]);
      expect((await store.contents()).filter((entry) => /^(work|trash)/.test(entry))).to.deep.equal([]);
    });
  });

  describe('save', () => {
    let target: string;
    let begun: number;
    beforeEach(() => {
      target = join(store.root, '..', 'saved');
      begun = 0;
    });
    const save = (names: readonly string[], more: Partial<SaveRequest> = {}): Promise<SavedImage[]> =>
      saveImages(
        { ...store.deps, registry: suite.client() },
        {
          images: names,
          signal: store.common.signal,
          createArchive: () => {
            begun += 1;
            return createImageArchive({ format: 'oci-dir', directory: target, signal: store.common.signal });
          },
          ...more,
        },
      );
    const refNames = async (): Promise<(string | undefined)[]> =>
      (await indexOf(target)).manifests.map(({ annotations }) => annotations?.[REF_NAME]);

    it('images in the order they are named, an ID without a name; another store loads the same', async () => {
      const [a, b] = [
        await store.add({ tag: 'localhost/a:1', layers: [layer('one'), layer('two')] }),
        await store.add({ tag: 'localhost/b:1', layers: [layer('one')] }),
      ];
      const saved = await save(['localhost/b:1', a.id]);
      expect(saved).to.deep.equal([
        { id: b.id, name: 'localhost/b:1', digest: b.manifest.digest },
        { id: a.id, name: undefined, digest: a.manifest.digest },
      ]);
      expect(await refNames()).to.deep.equal(['localhost/b:1', undefined]);
      const other = await makeTestStore();
      await other.load(target);
      const there = await other.deps.metadata.images.list();
      expect(there.map(({ id, names }) => [id, names])).to.have.deep.members([
        [b.id, ['localhost/b:1']],
        [a.id, []],
      ]);
      expect(there.find(({ id }) => id === a.id)!.manifest).to.deep.equal(a.manifest);
    });

    it('an unknown image: said before an archive is begun', async () => {
      await store.add({ tag: 'localhost/a:1', layers: [layer('one')] });
      expect(await rejection(save(['localhost/a:1', 'localhost/none:1']))).to.be.instanceOf(NotFoundError);
      expect(begun).to.equal(0);
    });

    it('a layer without a blob is packed from its files again, with a note', async () => {
      const base = await store.add({ tag: 'localhost/base:1', layers: [layer('one'), layer('two')] });
      const reference = { host: 'localhost', repository: 'own', tag: '1' };
      const made = await flattenImage(store.deps, { ...store.common, image: base.id, reference, changes: [] });
      const { digest } = made.layers[0]!;
      const bytes = await store.deps.content.read(digest);
      await store.deps.content.delete(digest);
      const [saved] = await save(['localhost/own:1']);
      expect(saved!.digest, 'imgtool packed it: the bytes are the same').to.equal(made.digest);
      expect((await readFile(join(target, 'blobs/sha256', digestHex(digest)))).equals(bytes)).to.equal(true);
      expect(store.notes.join()).to.include(digest);
    });

    it('a layer with neither a blob nor files, or a damaged blob: the archive lists no image', async () => {
      const image = await store.add({ tag: 'localhost/a:1', layers: [layer('one')] });
      const [{ digest }] = image.layers as [Descriptor];
      const bytes = await store.deps.content.read(digest);
      const path = store.deps.content.path(digest);
      chmodSync(path, 0o600);
      writeFileSync(path, Buffer.alloc(bytes.length));
      expect(await rejection(save(['localhost/a:1']))).to.be.instanceOf(DigestMismatchError);
      expect(existsSync(join(target, 'index.json'))).to.equal(false);
      await store.deps.content.delete(digest);
      await store.deps.snapshots.removeLayer(image.chainIds[0]!);
      expect(await rejection(save(['localhost/a:1']))).to.be.instanceOf(NotFoundError);
      expect(existsSync(join(target, 'index.json'))).to.equal(false);
    });
  });
});
