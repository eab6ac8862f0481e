import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  LayerFormatError,
  NotFoundError,
  PathEscapeError,
  UnsupportedMediaTypeError,
  UsageError,
} from '../../lib/errors.js';
import type { ImageRecord } from '../../lib/metadata/index.js';
import {
  appendToImage,
  mutateImage,
  flattenImage,
  rebaseImage,
  type ChangedImage,
  type TarToAppend,
} from '../../lib/operations/mutate/index.js';
import { digestOf, MEDIA_TYPE, type HistoryEntry, type ImageConfig } from '../../lib/spec/index.js';
import type { LayerTable } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';
import { makeTestStore, type TestStore } from '../helpers/test-store.js';

const EPOCH = 1_600_000_000;
const layer = (path: string): LayerTable => ({ entries: [{ path, content: path }] });
const tarOf = (bytes: Buffer, name = 'files.tar'): TarToAppend => ({
  name,
  open: () => Promise.resolve(Readable.from([bytes])),
});

describe('operations/mutate: images from images', () => {
  let store: TestStore;
  let base: ImageRecord;
  beforeEach(async () => {
    store = await makeTestStore();
    base = await store.add({
      tag: 'localhost/base:1',
      config: { Cmd: ['old'], Env: ['A=1'] },
      layers: [layer('one'), layer('two')],
    });
  });

  const request = (image = 'localhost/base:1', tag?: string, changes: readonly string[] = []) => ({
    ...{ ...store.common, image, changes, sourceDateEpoch: EPOCH },
    ...(tag === undefined ? {} : { reference: { host: 'localhost', repository: 'new', tag } }),
  });
  const recordOf = async ({ id, digest }: ChangedImage): Promise<ImageRecord> =>
    (await store.deps.metadata.images.ofImage(id)).find(({ manifest }) => manifest.digest === digest)!;
  const configOf = async ({ config }: Pick<ImageRecord, 'config'>): Promise<ImageConfig> =>
    JSON.parse((await store.deps.content.read(config.digest)).toString()) as ImageConfig;
  const stepsOf = (config: ImageConfig): (string | undefined)[] =>
    config.history!.map(({ created_by: step }: HistoryEntry) => step);
  const filesOf = ({ chainIds }: ImageRecord): string[] =>
    readdirSync(store.deps.snapshots.layerPath(chainIds.at(-1)!)).sort();
  /** Expects a failed change to leave images, layers and blobs as they were. */
  async function failed(change: () => Promise<ChangedImage>): Promise<Error & { readonly hint?: string }> {
    const [contents, images] = [await store.contents(), await store.deps.metadata.images.list()];
    const error = await rejection(change());
    expect(await store.contents()).to.deep.equal(contents);
    expect(await store.deps.metadata.images.list()).to.deep.equal(images);
    return error;
  }

  describe('mutate', () => {
    it('changes the settings and adds a step; layers, format and platform are those of the image', async () => {
      const made = await mutateImage(store.deps, {
        ...request('localhost/base:1', '1', ['CMD ["new"]', 'ENV B=2', 'USER 5']),
        ...{ author: 'me', message: 'why' },
      });
      const record = await recordOf(made);
      expect(made).to.include({ name: 'localhost/new:1', id: record.id });
      expect(record.names).to.deep.equal(['localhost/new:1']);
      expect(record.layers).to.deep.equal(base.layers);
      expect(record.chainIds).to.deep.equal(base.chainIds);
      expect([record.manifest.mediaType, record.platform]).to.deep.equal([base.manifest.mediaType, base.platform]);
      const config = await configOf(record);
      expect(config.config).to.deep.equal({ Cmd: ['new'], Env: ['A=1', 'B=2'], User: '5' });
      expect(config.history).to.have.length(3);
      expect(config.history!.at(-1)).to.deep.equal({
        created: new Date(EPOCH * 1000).toISOString().replace('.000', ''),
        created_by: 'imgtool config; CMD ["new"]; ENV B=2; USER 5',
        ...{ author: 'me', comment: 'why', empty_layer: true },
      });
    });

    it('twice at one date is the same image, and the name moves to the newer one', async () => {
      const first = await mutateImage(store.deps, request('localhost/base:1', '1', ['USER 5']));
      expect(await mutateImage(store.deps, request('localhost/base:1', '1', ['USER 5']))).to.deep.equal(first);
      const other = await mutateImage(store.deps, request('localhost/base:1', '1', ['USER 6']));
      expect(other.id).not.to.equal(first.id);
      expect((await recordOf(first)).names).to.deep.equal([]);
      expect((await recordOf(other)).names).to.deep.equal(['localhost/new:1']);
    });

    it('a bad instruction, a digest as name or an unknown image make nothing', async () => {
      expect(await failed(() => mutateImage(store.deps, request('localhost/base:1', '1', ['RUN x'])))).to.be.instanceOf(
        UsageError,
      );
      expect(await failed(() => mutateImage(store.deps, request('localhost/none:1')))).to.be.instanceOf(NotFoundError);
      const reference = { host: 'localhost', repository: 'new', digest: base.id };
      const error = await failed(() => mutateImage(store.deps, { ...request(), reference }));
      expect(error).to.be.instanceOf(UsageError);
      expect(error.hint).to.equal('write HOST/REPOSITORY:TAG');
    });
  });

  describe('append', () => {
    const entry = (path: string): TarEntry => ({ path, content: path });

    it('adds a layer for each tar, its bytes as they came, and whiteouts count', async () => {
      const tars = [gzipSync(writeTar([entry('three')])), writeTar([entry('.wh.one'), entry('four')])];
      const made = await appendToImage(store.deps, {
        ...request('localhost/base:1', '1'),
        tars: tars.map((bytes, position) => tarOf(bytes, `${position}.tar`)),
      });
      const record = await recordOf(made);
      expect(record.layers.slice(0, 2)).to.deep.equal(base.layers);
      expect(record.layers.slice(2)).to.deep.equal([
        { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(tars[0]!), size: tars[0]!.length },
        { mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(tars[1]!), size: tars[1]!.length },
      ]);
      expect(filesOf(record)).to.deep.equal(['four', 'three', 'two']);
      expect(stepsOf(await configOf(record)).slice(2)).to.deep.equal(['imgtool append 0.tar', 'imgtool append 1.tar']);
      const layers = await store.deps.metadata.layers.list();
      expect(layers.filter(({ sealed }) => !sealed).map(({ diffId }) => diffId)).not.to.include(record.diffIds.at(-1));
    });

    for (const [what, bytes, kind] of [
      ['no tar', Buffer.alloc(2000, 'x'), UnsupportedMediaTypeError],
      ['nothing', Buffer.alloc(0), LayerFormatError],
      [
        'a tar that is cut off',
        writeTar([{ path: 'a', content: 'x'.repeat(5000) }]).subarray(0, 2000),
        LayerFormatError,
      ],
      ['a tar that leads out', writeTar([{ path: '../out', content: 'x' }]), PathEscapeError],
    ] as const)
      it(`${what}: no image, and the store is as before`, async () => {
        const error = await failed(() =>
          appendToImage(store.deps, { ...request('localhost/base:1', '1'), tars: [tarOf(bytes)] }),
        );
        expect(error).to.be.instanceOf(kind);
      });

    it('unpacks layers that are gone from their blobs first', async () => {
      for (const chainId of [...base.chainIds].reverse()) {
        await store.deps.snapshots.removeLayer(chainId);
      }
      const made = await appendToImage(store.deps, { ...request(), tars: [tarOf(writeTar([entry('three')]))] });
      expect(filesOf(await recordOf(made))).to.deep.equal(['one', 'three', 'two']);
    });
  });

  describe('flatten', () => {
    it('makes one layer of all files and drops the history of the others', async () => {
      const record = await recordOf(await flattenImage(store.deps, request('localhost/base:1', '1')));
      expect(record.layers).to.have.length(1);
      expect(filesOf(record)).to.deep.equal(['one', 'two']);
      expect(readFileSync(join(store.deps.snapshots.layerPath(record.chainIds[0]!), 'two'), 'utf8')).to.equal('two');
      const config = await configOf(record);
      expect(stepsOf(config)).to.deep.equal(['imgtool flatten']);
      expect(config.config).to.deep.equal((await configOf(base)).config);
      expect((await store.contents()).filter((path) => /^(work|trash|ingest)/.test(path))).to.deep.equal([]);
    });

    it('refuses an image without layers', async () => {
      await store.add({ tag: 'localhost/empty:1', layers: [] });
      expect(await failed(() => flattenImage(store.deps, request('localhost/empty:1')))).to.be.instanceOf(UsageError);
    });
  });

  describe('rebase', () => {
    let onto: ImageRecord;
    beforeEach(async () => {
      onto = await store.add({ tag: 'localhost/onto:1', layers: [layer('new'), layer('newer'), layer('newest')] });
      await store.add({ tag: 'localhost/app:1', layers: [layer('one'), layer('two'), layer('app')] });
    });
    const rebase = (from?: string, image = 'localhost/app:1'): Promise<ChangedImage> =>
      rebaseImage(store.deps, { ...request(image, '1'), onto: 'localhost/onto:1', from });

    it('puts the own layers on top of the other image, with the steps of both', async () => {
      const record = await recordOf(await rebase());
      const app = (await store.deps.metadata.images.list()).find(({ names }) => names.includes('localhost/app:1'))!;
      expect(record.layers).to.deep.equal([...onto.layers, app.layers[2]]);
      expect(filesOf(record)).to.deep.equal(['app', 'new', 'newer', 'newest']);
      expect(stepsOf(await configOf(record))).to.deep.equal(['test', 'test', 'test', 'test', 'imgtool rebase']);
    });

    it('of several images below, the one that shares the most is the base; --from names another', async () => {
      await store.add({ tag: 'localhost/lower:1', layers: [layer('one')] });
      expect((await recordOf(await rebase())).layers).to.have.length(4);
      expect(filesOf(await recordOf(await rebase('localhost/lower:1')))).to.include.members(['two', 'app']);
    });

    it('refuses a base that is not below, and an image with none in the store', async () => {
      const error = await failed(() => rebase('localhost/onto:1'));
      expect(error).to.be.instanceOf(UsageError);
      expect(error.message).to.include('localhost/onto:1');
      await store.add({ tag: 'localhost/lone:1', layers: [layer('lone'), layer('app')] });
      const lone = await failed(() => rebase(undefined, 'localhost/lone:1'));
      expect(lone).to.be.instanceOf(UsageError);
      expect(lone.hint).to.include('--from');
    });
  });
});
