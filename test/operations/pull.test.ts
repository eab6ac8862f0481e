import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { mkdtemp, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { exitCodeOf } from '../../lib/cli/index.js';
import { createContentStore } from '../../lib/content/index.js';
import { StoreError, UnsupportedMediaTypeError } from '../../lib/errors.js';
import { createLayerApplier, type LayerApplier } from '../../lib/layer/index.js';
import { createMetadataStore } from '../../lib/metadata/index.js';
import { createContainer, planPull, pullImage, type PullRequest, type PullResult } from '../../lib/operations/index.js';
import type { ProgressEvent } from '../../lib/progress/index.js';
import { createSnapshotter, openStore } from '../../lib/snapshot/index.js';
import { chainIds, digestHex, digestOf, hostPlatform, type ChainId, type DiffId } from '../../lib/spec/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { rejection } from '../helpers/rejection.js';
import type { Reply, Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { writeTar } from '../helpers/tar-writer.js';

const never = new AbortController().signal;

/** An image of some layers as a registry would serve it. */
function imageOf(layers: readonly Buffer[]): { manifest: Buffer; config: Buffer; diffIds: DiffId[] } {
  const plain = (blob: Buffer): Buffer => (blob[0] === 0x1f && blob[1] === 0x8b ? gunzipSync(blob) : blob);
  const diffIds = layers.map((blob) => digestOf(plain(blob)) as DiffId);
  const { os, architecture } = hostPlatform();
  const config = Buffer.from(JSON.stringify({ os, architecture, rootfs: { type: 'layers', diff_ids: diffIds } }));
  const described = (mediaType: string, blob: Buffer): object => ({
    mediaType: `application/vnd.oci.image.${mediaType}`,
    digest: digestOf(blob),
    size: blob.length,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: described('config.v1+json', config),
    layers: layers.map((blob) => described(blob[0] === 0x1f ? 'layer.v1.tar+gzip' : 'layer.v1.tar', blob)),
  };
  return { manifest: Buffer.from(JSON.stringify(manifest)), config, diffIds };
}

describe('operations/pull', () => {
  const suite = scriptedSuite();
  let root: string;
  let events: ProgressEvent[];
  let notes: string[];
  let local: Omit<Parameters<typeof pullImage>[0], 'registry'>;
  beforeEach(async () => {
    ({ root } = await openStore(join(await mkdtemp(join(btrfsDirectory('pull'), 'x-')), 'root'), { create: true }));
    events = [];
    notes = [];
    local = {
      content: createContentStore({ root }),
      metadata: createMetadataStore({ root, bootId: 'this boot' }),
      snapshots: createSnapshotter({ root }),
      createApplier: () => createLayerApplier(),
      progress: { event: (event) => void events.push(event), note: (line) => void notes.push(line) },
    };
  });

  /** Steps for all of an image, its blobs given as lists of replies. */
  function stepsFor(image: ReturnType<typeof imageOf>, blobs: readonly (readonly [Buffer, ...Reply[]])[]): Step[] {
    const ok = (body: Buffer): Reply => ({ body });
    return [
      {
        method: 'GET',
        path: '/v2/a/b/manifests/1',
        reply: { body: image.manifest, headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' } },
      },
      ...[[image.config] as const, ...blobs].flatMap(([blob, ...replies]) =>
        (replies.length === 0 ? [ok(blob)] : replies).map((reply): Step => ({
          method: 'GET',
          path: `/v2/a/b/blobs/${digestOf(blob)}`,
          reply,
        })),
      ),
    ];
  }

  /** The drivers as they are in another boot of the machine. */
  function inBoot(bootId: string): typeof local {
    return { ...local, metadata: createMetadataStore({ root, bootId }) };
  }

  function request(host: string): PullRequest {
    return {
      reference: { host, repository: 'a/b', tag: '1' },
      platform: hostPlatform(),
      platformGiven: false,
      policy: 'always',
      reserveBytes: 0,
      signal: never,
    };
  }

  async function pull(steps: readonly Step[], deps = local): Promise<PullResult> {
    const server = await suite.serve(...steps);
    return pullImage({ ...deps, registry: suite.client() }, request(server.host));
  }

  it('of a config with a field of the wrong type is refused by name, exit 6, before a layer is fetched', async () => {
    const layer = gzipSync(writeTar([{ path: 'x', content: 'x' }]));
    for (const [more, problem] of [
      [{ config: { Env: 'A=b' } }, 'config.Env: it is a string, not a list'],
      [{ config: { User: 5 } }, 'config.User: it is a number, not a string'],
      [{ history: [null] }, 'history[0]: it is null, not an object'],
    ] as const) {
      const good = imageOf([layer]);
      const config = Buffer.from(JSON.stringify({ ...(JSON.parse(good.config.toString()) as object), ...more }));
      const document = JSON.parse(good.manifest.toString()) as { config: object };
      const described = { ...document.config, digest: digestOf(config), size: config.length };
      const manifest = Buffer.from(JSON.stringify({ ...document, config: described }));
      const error = await rejection(pull(stepsFor({ ...good, config, manifest }, [])));
      expect(error.message).to.equal(`config ${digestOf(config)} has a bad ${problem}`);
      expect(exitCodeOf(error)).to.equal(6);
      expect(await local.metadata.images.list()).to.deep.equal([]);
    }
  });

  it('of 2015, with a config of type text/html and members that are null', async () => {
    const good = imageOf([]);
    const document = JSON.parse(good.manifest.toString()) as { config: object };
    const config = { ...document.config, mediaType: 'text/html', annotations: null };
    const manifest = Buffer.from(JSON.stringify({ ...document, config, layers: null, annotations: null }));
    const { id } = await pull(stepsFor({ ...good, manifest }, []));
    expect(id).to.equal(digestOf(good.config));
  });

  describe('of a layer that comes wrong once', () => {
    const content = randomBytes(3_000_000);
    const tar = Buffer.from(
      writeTar([
        { path: 'file', content },
        { path: 'other', content: 'x' },
      ]),
    );
    const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
    const flipped = (bytes: Buffer, at: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 0x55;
      return copy;
    };
    const compressed = gzipSync(tar);

    for (const [what, blob, wrong] of [
      ['a changed byte of a file, which only the digest tells', tar, flipped(tar, 1_000_000)],
      ['a broken header at the start', tar, flipped(tar, 20)],
      ['a broken compressed stream', compressed, flipped(compressed, 1_000_000)],
      [
        'another layer of the same size',
        tar,
        Buffer.from(
          writeTar([
            { path: 'liar', content },
            { path: 'other', content: 'x' },
          ]),
        ),
      ],
      ['a page instead of a layer', tar, Buffer.alloc(tar.length, '<html>')],
    ] as const) {
      it(`${what}: the tree is that of the right bytes`, async () => {
        const image = imageOf([blob]);
        const result = await pull(stepsFor(image, [[blob, { body: wrong }, { body: blob }]]));
        expect(result.layers.map(({ state }) => state)).to.deep.equal(['fetched']);
        const layer = local.snapshots.layerPath(chainIds(image.diffIds)[0]!);
        expect(await readdir(layer)).to.have.members(['file', 'other']);
        expect(sha(readFileSync(join(layer, 'file')))).to.equal(sha(content));
        expect(events.filter(({ state }) => state === 'retrying')).to.have.length(1);
        expect(await readdir(join(root, 'work'))).to.deep.equal([]);
      });
    }

    it('wrong twice is an error, and nothing of it is kept', async () => {
      const wrong = flipped(tar, 1_000_000);
      const error = await rejection(pull(stepsFor(imageOf([tar]), [[tar, { body: wrong }, { body: wrong }]])));
      expect(error.name).to.equal('DigestMismatchError');
      expect(await local.snapshots.listLayers()).to.deep.equal([]);
      for (const place of ['work', 'ingest', 'trash']) expect(await readdir(join(root, place))).to.deep.equal([]);
    });
  });

  it('layers of no byte: an image with nothing in it', async () => {
    const packed = gzipSync(Buffer.alloc(0));
    const image = imageOf([Buffer.alloc(0), packed]);
    await pull(stepsFor(image, [[packed]]));
    for (const chainId of chainIds(image.diffIds))
      expect(await readdir(local.snapshots.layerPath(chainId))).to.deep.equal([]);
  });

  describe('onto a disk that loses bytes after they were verified', () => {
    const tar = writeTar([{ path: 'file', content: randomBytes(20_000_000) }]);
    /** Appliers that find, `times` times, zeros from `start` on in a blob that has arrived. */
    const losing = (start: number, times: number): (() => LayerApplier) => {
      let left = times;
      return () => {
        const applier = createLayerApplier();
        return {
          close: () => applier.close(),
          apply: async (input) => {
            const state = new Int32Array(input.growing.shared, 0, 2);
            while (Atomics.load(state, 1) === 0) await sleep(5);
            if (left-- > 0) {
              const fd = openSync(`/proc/self/fd/${input.fd}`, 'r+');
              writeSync(fd, Buffer.alloc(1_000_000), 0, 1_000_000, start);
              closeSync(fd);
            }
            return applier.apply(input);
          },
        };
      };
    };

    for (const [what, blob, start] of [
      ['zeros in place of all headers but the first', writeTar([{ path: 'a' }, { path: 'b', content: tar }]), 512],
      ['the beginning', tar, 0],
      ['a part of a file, seen by the diffID', tar, 8192],
      ['a part of a compressed layer', gzipSync(tar), 1_000_000],
    ] as const)
      it(`${what}: fetched again`, async () => {
        const image = imageOf([blob]);
        local = { ...local, createApplier: losing(start, 1) };
        await pull(stepsFor(image, [[blob, { body: blob }, { body: blob }]]));
        expect(notes).to.deep.equal([`blob ${digestOf(blob)} in the store is damaged: fetching it again`]);
      });

    it('lost twice: the disk is blamed, not the image, and the next pull fetches again', async () => {
      const image = imageOf([tar]);
      local = { ...local, createApplier: losing(512, 2) };
      const error = await rejection(pull(stepsFor(image, [[tar, { body: tar }, { body: tar }]])));
      expect(error).to.be.instanceOf(StoreError);
      expect(error.message).to.equal(`the disk lost bytes of blob ${digestOf(tar)} after they were verified`);
      expect(await readdir(join(root, 'work'))).to.deep.equal([]);
      const [manifest, , ...blobs] = stepsFor(image, [[tar]]);
      const { layers } = await pull([manifest!, ...blobs]);
      expect(layers.map(({ state }) => state)).to.deep.equal(['fetched']);
    });
  });

  describe('and power loss', () => {
    const layers = ['one', 'two'].map((name) => gzipSync(writeTar([{ path: name, content: name }])));
    const image = imageOf(layers);
    const chain = chainIds(image.diffIds);
    const other = gzipSync(writeTar([{ path: 'other', content: 'other' }]));
    const marks = async (): Promise<Record<string, string>> =>
      Object.fromEntries(
        (await local.metadata.layers.list()).map(({ diffId, sealed, bootId }) => [
          diffId,
          `${sealed ? 'sealed' : 'unsealed'} ${bootId}`,
        ]),
      );
    const documents = (of: ReturnType<typeof imageOf>): Step[] => stepsFor(of, []);
    const [one, two] = image.diffIds as [DiffId, DiffId];

    it('what the last pull wrote is sealed by the next one that writes', async () => {
      await pull(
        stepsFor(
          image,
          layers.map((blob) => [blob]),
        ),
      );
      expect(await marks()).to.deep.equal({ [one]: 'unsealed this boot', [two]: 'unsealed this boot' });
      await pull(documents(image).slice(0, 1));
      expect((await marks())[one]).to.equal('unsealed this boot');
      const next = imageOf([other]);
      await pull(stepsFor(next, [[other]]));
      expect(await marks()).to.deep.equal({
        [one]: 'sealed this boot',
        [two]: 'sealed this boot',
        [next.diffIds[0]!]: 'unsealed this boot',
      });
    });

    it('what another boot left unsealed is unpacked anew from its blob, what was sealed is kept', async () => {
      await pull(
        stepsFor(
          image,
          layers.map((blob) => [blob]),
        ),
      );
      const [bottom, top] = chain as [ChainId, ChainId];
      const record = (await local.metadata.layers.get(digestHex(bottom)))!;
      await local.metadata.layers.put(digestHex(bottom), { ...record, sealed: true });
      const kept = statSync(local.snapshots.layerPath(bottom), { bigint: true });
      // A crash cut the file of the upper layer.
      const path = local.snapshots.layerPath(top);
      execFileSync('btrfs', ['property', 'set', '-f', path, 'ro', 'false']);
      writeFileSync(join(path, 'two'), '');
      execFileSync('btrfs', ['property', 'set', path, 'ro', 'true']);

      const again = await pull(documents(image).slice(0, 1), inBoot('next boot'));
      expect(again.layers.map(({ state }) => state)).to.deep.equal(['present', 'present']);
      expect(readFileSync(join(path, 'two'), 'utf8')).to.equal('two');
      expect(await marks()).to.deep.equal({ [one]: 'sealed this boot', [two]: 'unsealed next boot' });
      expect(statSync(local.snapshots.layerPath(bottom), { bigint: true }).dev).to.equal(kept.dev);
      expect(notes.join()).to.include('a layer written just before a restart');
    });

    it('a container is made of an image whose layers were dropped, without its registry', async () => {
      const { id } = await pull(
        stepsFor(
          image,
          layers.map((blob) => [blob]),
        ),
      );
      const record = await createContainer(inBoot('next boot'), { image: id, name: 'box', signal: never });
      const files = local.snapshots.containerPath(record.id);
      expect(await readdir(files)).to.have.members(['one', 'two']);
      expect(await marks()).to.deep.equal({ [one]: 'unsealed next boot', [two]: 'unsealed next boot' });

      await local.content.delete(digestOf(layers[0]!));
      const lost = createContainer(inBoot('third boot'), { image: id, name: 'two', signal: never });
      const error = await rejection(lost);
      expect(error).to.be.instanceOf(StoreError);
      expect(error.hint).to.equal('pull or load the image again');
    });

    it('nothing is dropped while another process works in the store', async () => {
      await pull(
        stepsFor(
          image,
          layers.map((blob) => [blob]),
        ),
      );
      const busy = await local.metadata.lock('store', { mode: 'shared', signal: never });
      const pulling = pull(documents(image).slice(0, 1), inBoot('next boot'));
      while (!notes.join().includes('waiting for other imgtool processes')) await sleep(5);
      await sleep(50);
      expect(await local.snapshots.listLayers()).to.have.members(chain);
      busy.release();
      await pulling;
      expect((await marks())[two]).to.equal('unsealed next boot');
    });

    it('a sync that fails is a remark, not a failure', async () => {
      await pull(
        stepsFor(
          image,
          layers.map((blob) => [blob]),
        ),
      );
      const broken = { ...local.snapshots, sync: () => Promise.reject(new Error('no sync today')) };
      local = { ...local, snapshots: broken };
      await pull(stepsFor(imageOf([other]), [[other]]));
      expect(notes.join()).to.include('no sync today');
      expect((await marks())[one]).to.equal('unsealed this boot');
    });
  });

  describe('planned', () => {
    const layers = ['one', 'two'].map((name) => gzipSync(writeTar([{ path: name, content: randomBytes(5000) }])));
    const image = imageOf(layers);
    const sizes = layers.map(({ length }) => length) as [number, number];

    it('says what would be fetched, without a store, and makes none', async () => {
      const server = await suite.serve(...stepsFor(image, []));
      const { progress } = local;
      const plan = await planPull({ registry: suite.client(), progress }, request(server.host));
      expect(plan).to.deep.include({
        digest: digestOf(image.manifest),
        fetchBytes: sizes[0] + sizes[1],
        presentBytes: 0,
        unpackedBytes: Math.round((sizes[0] + sizes[1]) * 3.2),
        freeBytes: null,
      });
      expect(plan.layers.map(({ state }) => state)).to.deep.equal(['fetched', 'fetched']);
    });

    it('counts what several plans share once', async () => {
      const more = imageOf([...layers, gzipSync(writeTar([{ path: 'three', content: randomBytes(700) }]))]);
      const server = await suite.serve(...stepsFor(image, []), ...stepsFor(more, []));
      const deps = { ...local, registry: suite.client() };
      const planned = new Set<string>();
      const first = await planPull(deps, request(server.host), planned);
      const second = await planPull(deps, request(server.host), planned);
      expect(first.layers.map(({ state }) => state)).to.deep.equal(['fetched', 'fetched']);
      expect(second.layers.map(({ state }) => state)).to.deep.equal(['present', 'present', 'fetched']);
      const { size } = second.layers[2]!;
      expect(second).to.deep.include({ fetchBytes: size, unpackedBytes: Math.round(size * 3.2) });
    });

    it('changes nothing in a store, and knows what is there', async () => {
      const { content } = local;
      await content.put(layers[1]!);
      const files = (): string => execFileSync('find', [root, '-ls'], { encoding: 'utf8' });
      const before = files();
      const server = await suite.serve(...stepsFor(image, []));
      const plan = await planPull({ ...local, registry: suite.client() }, request(server.host));
      expect(plan).to.deep.include({ fetchBytes: sizes[0], presentBytes: sizes[1] });
      expect(plan.freeBytes).to.be.greaterThan(0);
      expect(files()).to.equal(before);
    });
  });

  it('blobs that are damaged in the store are fetched again', async () => {
    const [sound, hurt] = ['one', 'two'].map((name) => gzipSync(writeTar([{ path: name, content: name }])));
    const image = imageOf([sound!, hurt!]);
    for (const blob of [sound!, hurt!, image.config]) await local.content.put(blob);
    for (const blob of [hurt!, image.config])
      writeFileSync(local.content.path(digestOf(blob)), Buffer.alloc(blob.length, 'x'));
    const result = await pull(stepsFor(image, [[hurt!]]));
    expect(result.layers.map(({ state }) => state)).to.deep.equal(['present', 'fetched']);
    expect(notes.filter((note) => note.includes('damaged'))).to.have.length(2);
    expect(await readdir(local.snapshots.layerPath(chainIds(image.diffIds)[1]!))).to.have.members(['one', 'two']);
  });

  it('a layer that is no tar is told as such once its digest is verified, and is not fetched again', async () => {
    const blob = Buffer.alloc(2_000_000, 'no tar at all ');
    const image = imageOf([blob]);
    expect(await rejection(pull(stepsFor(image, [[blob]])))).to.be.instanceOf(UnsupportedMediaTypeError);
    expect(existsSync(local.content.path(digestOf(blob)))).to.equal(true);
    expect(await readdir(join(root, 'work'))).to.deep.equal([]);
  });
});
