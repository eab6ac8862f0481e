import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidReferenceError, StoreError } from '../../lib/errors.js';
import {
  createMetadataStore,
  currentBootId,
  type ContainerRecord,
  type ImageRecord,
  type LayerRecord,
  type MetadataStore,
} from '../../lib/metadata/index.js';
import { digestHex, digestOf, type ChainId, type Descriptor, type DiffId } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';

const DOOR = new URL('../../lib/metadata/index.js', import.meta.url).href;
const never = new AbortController().signal;

function layer(seed: string): LayerRecord {
  return {
    version: 1,
    chainId: digestOf(seed) as ChainId,
    diffId: digestOf(`${seed}-diff`) as DiffId,
    size: 10,
    entries: 1,
    sealed: false,
    bootId: 'boot',
  };
}

function image(id: string, manifest: string, index?: string): ImageRecord {
  const described = (text: string): Descriptor => ({ mediaType: 'x', digest: digestOf(text), size: 1 });
  return {
    version: 1,
    id: digestOf(id),
    names: [`host/${manifest}:1`],
    sources: [],
    manifest: described(manifest),
    config: described(id),
    ...(index === undefined ? {} : { index: described(index) }),
    layers: [],
    diffIds: [],
    chainIds: [],
    platform: 'linux/amd64',
    pulled: '2024-01-01T00:00:00Z',
  };
}

describe('metadata', () => {
  let root: string;
  let store: MetadataStore;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'imgtool-metadata-'));
    for (const name of ['images', 'layers', 'containers', 'locks']) mkdirSync(join(root, name));
    store = createMetadataStore({ root });
  });
  afterEach(() => rmSync(root, { recursive: true }));

  describe('records', () => {
    it('are written, replaced, listed and deleted', async () => {
      const [a, b] = [layer('a'), layer('b')];
      const [keyA, keyB] = [digestHex(a.chainId), digestHex(b.chainId)];
      expect(await store.layers.get(keyA)).to.equal(undefined);
      await store.layers.put(keyA, a);
      await store.layers.put(keyB, b);
      await store.layers.put(keyA, { ...a, sealed: true });
      expect(await store.layers.get(keyA)).to.deep.equal({ ...a, sealed: true });
      expect(await store.layers.list()).to.have.deep.members([{ ...a, sealed: true }, b]);
      await store.layers.delete(keyA);
      await store.layers.delete(keyA);
      expect(await store.layers.list()).to.deep.equal([b]);
      expect(readdirSync(join(root, 'layers'))).to.deep.equal([`${keyB}.json`]);
      expect(statSync(join(root, 'layers', `${keyB}.json`)).mode & 0o777).to.equal(0o600);
    });

    it('live beside subvolumes and what a crash left', async () => {
      const record = layer('a');
      const key = digestHex(record.chainId);
      await store.layers.put(key, record);
      mkdirSync(join(root, 'layers', key));
      writeFileSync(join(root, 'layers', `.new-${key}.json-0123`), '{"cut');
      writeFileSync(join(root, 'layers', `.new-${key}.json-4567`), '{"old');
      utimesSync(join(root, 'layers', `.new-${key}.json-4567`), 1, 1);
      await store.layers.sweep();
      expect(await store.layers.list()).to.deep.equal([record]);
      expect(readdirSync(join(root, 'layers')).sort()).to.deep.equal([`.new-${key}.json-0123`, key, `${key}.json`]);
    });

    it('refuse keys that are paths (CVE-2014-9358, CVE-2024-3727)', async () => {
      for (const key of ['../../x', '', 'sha256:ab', 'A'.repeat(64), 'a'.repeat(63), `${'a'.repeat(64)}\0`])
        for (const use of [store.layers.get(key), store.layers.delete(key)])
          expect(await rejection(use), key).to.be.instanceOf(InvalidReferenceError);
      expect(await rejection(store.layers.put('a'.repeat(64), layer('x')))).to.be.instanceOf(TypeError);
    });

    it('say which file is damaged', async () => {
      const record = layer('a');
      const key = digestHex(record.chainId);
      const file = join(root, 'layers', `${key}.json`);
      const damaged = ['', '{"version":1', 'null', '[]', '{"version":2}', '{"version":1}', JSON.stringify(layer('b'))];
      for (const text of damaged) {
        writeFileSync(file, text);
        for (const use of [store.layers.get(key), store.layers.list()]) {
          const error = await rejection(use);
          expect(error, text).to.be.instanceOf(StoreError);
          expect(error.message).to.contain(file).and.not.contain('\n');
        }
      }
    });

    it('are checked when they are written: a Promise as bootId, a list that is too short', async () => {
      const record = layer('a');
      const key = digestHex(record.chainId);
      const wrong = [
        { bootId: Promise.resolve('boot') },
        { size: -1 },
        { entries: '1' },
        { parent: 'sha256:ab' },
        { blob: { mediaType: 'x', digest: record.diffId } },
        { sealed: undefined },
      ];
      for (const fields of wrong)
        expect(await rejection(store.layers.put(key, { ...record, ...fields } as LayerRecord)), JSON.stringify(fields))
          .to.be.instanceOf(TypeError)
          .with.property('message')
          .that.includes(Object.keys(fields)[0]);
      const short = { ...image('i', 'm'), diffIds: [digestOf('one') as DiffId] };
      expect(await rejection(store.images.put(short))).to.be.instanceOf(TypeError);
      expect(readdirSync(join(root, 'layers')).concat(readdirSync(join(root, 'images')))).to.deep.equal([]);
    });

    it('of a program that did not await the boot ID count as written in another boot', async () => {
      const record = layer('a');
      const key = digestHex(record.chainId);
      writeFileSync(join(root, 'layers', `${key}.json`), JSON.stringify({ ...record, bootId: {} }));
      expect(await store.layers.list()).to.deep.equal([{ ...record, bootId: '' }]);
    });

    it('of an image: one for each manifest and index, the first where earlier versions have it', async () => {
      const [first, second, third] = [image('i', 'm'), image('i', 'n'), image('i', 'm', 'index')];
      for (const record of [first, second, third]) await store.images.put(record);
      const renamed = { ...second, names: ['host/b:2'] };
      await store.images.put(renamed);
      expect(readdirSync(join(root, 'images')))
        .to.have.length(3)
        .and.include(`${digestHex(first.id)}.json`);
      expect((await store.images.ofImage(first.id))[0]).to.deep.equal(first);
      expect(await store.images.ofImage(first.id)).to.have.deep.members([first, renamed, third]);
      expect(await store.images.find(second)).to.deep.equal(renamed);
      await store.images.delete(first);
      await store.images.put(third);
      expect(await store.images.list()).to.have.deep.members([renamed, third]);
      expect(await store.images.find(first)).to.equal(undefined);
    });

    it('never show a half-written state to readers', async () => {
      const id = 'c'.repeat(64);
      const record = (size: number): ContainerRecord => ({
        version: 1,
        id,
        name: 'n'.repeat(size),
        image: digestOf('image'),
        imageName: 'image',
        created: '2020-01-01T00:00:00Z',
      });
      await store.containers.put(id, record(1));
      let writing = true;
      const writer = (async () => {
        for (let turn = 0; turn < 40; turn++) await store.containers.put(id, record(1 + (turn % 2) * 100_000));
        writing = false;
      })();
      let reads = 0;
      while (writing) {
        expect((await store.containers.get(id))?.name.length).to.be.oneOf([1, 100_001]);
        reads += 1;
      }
      await writer;
      expect(reads).to.be.greaterThan(10);
      expect(readdirSync(join(root, 'containers'))).to.have.length(1);
    });

    it('say that root rights are missing', async () => {
      const closed = createMetadataStore({ root: join(root, 'none') });
      const error = await rejection(closed.images.list());
      expect(error).to.be.instanceOf(StoreError);
      expect(error.message).to.contain(join(root, 'none/images'));
    });
  });

  describe('locks', () => {
    it('exclude writers, share readers, and leave no file but those that every command takes', async () => {
      const first = await store.tryLock('store', 'shared');
      const second = await store.tryLock('store', 'shared');
      expect(await store.tryLock('store', 'exclusive')).to.equal(undefined);
      first!.release();
      first!.release();
      second!.release();
      const writer = await store.tryLock('store', 'exclusive');
      expect(await store.tryLock('store', 'shared')).to.equal(undefined);
      const other = await store.tryLock('work-2', 'exclusive');
      other!.release();
      writer!.release();
      expect(readdirSync(join(root, 'locks')))
        .to.include('store')
        .and.not.include('work-2');
    });

    it('are waited for, said once, and given up when aborted', async () => {
      const held = await store.lock('image-names', { mode: 'exclusive', signal: never });
      let waits = 0;
      const waiting = store.lock('image-names', { mode: 'exclusive', signal: never, onWait: () => (waits += 1) });
      const abort = new AbortController();
      const onWait = (): void => void setImmediate(() => abort.abort());
      const aborted = rejection(store.lock('image-names', { mode: 'shared', signal: abort.signal, onWait }));
      expect((await aborted).name).to.equal('AbortError');
      held.release();
      (await waiting).release();
      expect(waits).to.equal(1);
      const early = await rejection(store.lock('x', { mode: 'shared', signal: AbortSignal.abort() }));
      expect(early.name).to.equal('AbortError');
    });

    it('are said to be waited for after a second, where the caller says nothing', async () => {
      const told: string[] = [];
      const other = createMetadataStore({ root, onWait: (path) => void told.push(path) });
      const held = await other.lock('image-names', { mode: 'exclusive', signal: never });
      const waiting = other.lock('image-names', { mode: 'exclusive', signal: never });
      while (told.length === 0) await sleep(20);
      held.release();
      (await waiting).release();
      expect(told).to.deep.equal([join(root, 'locks/image-names')]);
    });

    it('never have two holders while many come and go', async () => {
      let [inside, most, turns] = [0, 0, 0];
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          for (let turn = 0; turn < 10; turn++) {
            const held = await store.lock('busy', { mode: 'exclusive', signal: never });
            inside += 1;
            most = Math.max(most, inside);
            await new Promise(setImmediate);
            turns += 1;
            inside -= 1;
            held.release();
          }
        }),
      );
      expect([most, turns]).to.deep.equal([1, 80]);
    });

    it('are free again when their process is killed', async () => {
      const code = `import { createMetadataStore } from ${JSON.stringify(DOOR)};
        await createMetadataStore({ root: ${JSON.stringify(root)} }).lock('layer-ab', { mode: 'exclusive', signal: new AbortController().signal });
        process.stdout.write('held'); setInterval(() => {}, 1000);`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      expect(await store.tryLock('layer-ab', 'exclusive')).to.equal(undefined);
      child.kill('SIGKILL');
      (await store.lock('layer-ab', { mode: 'exclusive', signal: never })).release();
    });

    it('refuse names that are paths', async () => {
      for (const name of ['../x', 'a/b', '', '.hidden', 'A', 'x'.repeat(300)])
        expect(await rejection(store.tryLock(name, 'shared')), name).to.be.instanceOf(InvalidReferenceError);
    });
  });

  it('reads records without loading native code', async () => {
    const code = `import { createMetadataStore } from ${JSON.stringify(DOOR)};
      await createMetadataStore({ root: ${JSON.stringify(root)} }).images.list();
      process.stdout.write(String(process.report.getReport().sharedObjects.some((name) => name.includes('koffi'))));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    await new Promise((resolve) => child.once('close', resolve));
    expect(out).to.equal('false');
  });

  it('knows the boot', () => {
    expect(currentBootId()).to.match(/^[0-9a-f-]{36}$/);
    expect(store.bootId).to.equal(currentBootId());
  });
});
