import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, utimes } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { exitCodeOf } from '../../lib/cli/index.js';
import { createContentStore, type ContentStore } from '../../lib/content/index.js';
import {
  AuthenticationError,
  DigestMismatchError,
  DiskSpaceError,
  InvalidManifestError,
  LayerFormatError,
  NotFoundError,
  RegistryError,
  TransportError,
  UsageError,
} from '../../lib/errors.js';
import { createLayerApplier, type LayerApplier } from '../../lib/layer/index.js';
import { createMetadataStore, type MetadataStore } from '../../lib/metadata/index.js';
import {
  collectGarbage,
  createContainer,
  listTags,
  inspectRemoteImage,
  planPull,
  pullImage,
  resolveDigest,
  searchRegistry,
  type PullResult,
} from '../../lib/operations/index.js';
import type { RegistryClientOptions } from '../../lib/registry/index.js';
import { createSnapshotter, openStore } from '../../lib/snapshot/index.js';
import {
  digestHex,
  digestOf,
  hostPlatform,
  parseImageConfig,
  parseReference,
  TarSum,
  v1ImageOf,
  type DiffId,
} from '../../lib/spec/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { rejection } from '../helpers/rejection.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { listTree } from '../helpers/tree-listing.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';
import { V1Registry, type V1RegistryOptions, type V1Seen } from '../helpers/v1-registry.js';
import { zstdCompress } from '../helpers/zstd.js';

const never = new AbortController().signal;
const idOf = (name: string | number): string => digestHex(digestOf(`image ${name}`));
const file = (path: string, content = path): Buffer => Buffer.from(writeTar([{ path, content }]));
const EMPTY_TAR = Buffer.alloc(1024);

describe('operations/pull by protocol v1', () => {
  const suite = scriptedSuite();
  let root: string;
  let registries: V1Registry[];
  let notes: string[];
  let local: Omit<Parameters<typeof pullImage>[0], 'registry'> & { content: ContentStore; metadata: MetadataStore };
  // Threads take long to start: all tests share a pair.
  let applier: LayerApplier;
  before(() => {
    applier = createLayerApplier();
  });
  after(() => applier.close());
  beforeEach(async () => {
    ({ root } = await openStore(join(await mkdtemp(join(btrfsDirectory('v1'), 'x-')), 'root'), { create: true }));
    registries = [];
    notes = [];
    local = {
      content: createContentStore({ root }),
      metadata: createMetadataStore({ root }),
      snapshots: createSnapshotter({ root }),
      createApplier: () => ({ apply: (input) => applier.apply(input), close: () => Promise.resolve() }),
      progress: { event: () => undefined, note: (line) => void notes.push(line) },
    };
  });
  afterEach(async () => {
    for (const registry of registries) await registry.close();
    for (const registry of registries) registry.verify();
  });

  async function serve(options: V1RegistryOptions = {}): Promise<V1Registry> {
    const registry = await V1Registry.start(options);
    registries.push(registry);
    return registry;
  }

  async function pull(
    host: string,
    more: { readonly tag?: string; readonly client?: RegistryClientOptions; readonly reserveBytes?: number } = {},
  ): Promise<PullResult> {
    return pullImage(
      { ...local, registry: suite.client(more.client) },
      {
        reference: { host, repository: 'a/b', tag: more.tag ?? '1' },
        platform: hostPlatform(),
        platformGiven: false,
        policy: 'always',
        reserveBytes: more.reserveBytes ?? 0,
        signal: never,
      },
    );
  }

  /** Files of a new container of an image. */
  async function filesOf(image: string): Promise<string[]> {
    const { id } = await createContainer(local, { image, name: undefined, signal: never });
    return [...listTree(local.snapshots.containerPath(id), { withoutRoot: true, content: false }).keys()];
  }

  async function blobsInStore(): Promise<string[]> {
    return readdir(join(root, 'blobs/sha256'));
  }

  /** Nothing of a pull that failed. */
  async function expectNothingLeft(): Promise<void> {
    expect(await local.metadata.images.list()).to.deep.equal([]);
    expect(await readdir(join(root, 'work'))).to.deep.equal([]);
    const kept = (await local.metadata.layers.list()).map(({ blob }) => digestHex(blob!.digest));
    expect((await blobsInStore()).filter((hex) => !kept.includes(hex))).to.deep.equal([]);
  }

  /** Three images: a file, one that changes only metadata, and one that deletes and adds. */
  function chain(prefix = ''): { id: string; layer: Buffer; json: object }[] {
    const step = (command: string, more: object = {}): object => ({
      created: '2014-03-01T10:00:00Z',
      container_config: { Cmd: ['/bin/sh', '-c', command] },
      ...more,
    });
    return [
      { id: idOf(`${prefix}root`), layer: gzipSync(file('one')), json: step('#(nop) ADD one') },
      { id: idOf(`${prefix}meta`), layer: EMPTY_TAR, json: step('#(nop) ENV A=1', { author: 'me' }) },
      {
        id: idOf(`${prefix}leaf`),
        layer: gzipSync(Buffer.from(writeTar([{ path: '.wh.one' }, { path: 'two', content: '2' }]))),
        json: step('rm one', { config: { Env: ['A=1'], Cmd: ['sh'] }, Size: 12, docker_version: '1.3.0' }),
      },
    ];
  }

  it('finds out that a host speaks v1 only, and pulls: config, history, tree, JSONs kept', async () => {
    const registry = await serve();
    const images = chain();
    registry.add('a/b', '1', images);
    const result = await pull(registry.host);
    expect(await filesOf(result.id)).to.deep.equal(['two']);
    const config = parseImageConfig(await local.content.read(result.id), 'config');
    expect(config.config).to.deep.equal({ Env: ['A=1'], Cmd: ['sh'] });
    expect(config).to.not.have.any.keys('id', 'parent', 'Size');
    expect(config.history).to.deep.equal([
      { created: '2014-03-01T10:00:00Z', created_by: '/bin/sh -c #(nop) ADD one' },
      { created: '2014-03-01T10:00:00Z', author: 'me', created_by: '/bin/sh -c #(nop) ENV A=1' },
      { created: '2014-03-01T10:00:00Z', created_by: '/bin/sh -c rm one' },
    ]);
    expect(config.rootfs.diff_ids).to.deep.equal(
      images.map(({ layer }) => digestOf(layer[0] === 0x1f ? gunzipSync(layer) : layer) as DiffId),
    );
    const [record] = await local.metadata.images.list();
    expect(record!.names).to.deep.equal([`${registry.host}/a/b:1`]);
    expect(record!.layers.map((layer) => layer.digest)).to.deep.equal(images.map(({ layer }) => digestOf(layer)));
    record!.layers.forEach((layer, at) => {
      const { image, payload } = v1ImageOf(layer)!;
      expect(image.bytes.equals(registry.images.get(images[at]!.id)!.json)).to.equal(true);
      expect(payload).to.equal(registry.images.get(images[at]!.id)!.checksum);
    });
  });

  it('asks only for the tag when it leads to the image that is here', async () => {
    const registry = await serve();
    registry.add('a/b', '1', chain());
    const first = await pull(registry.host, { client: { registryVersion: '1' } });
    const before = registry.requests.length;
    const second = await pull(registry.host, { client: { registryVersion: '1' } });
    expect(second.id).to.equal(first.id);
    expect(second.layers.map(({ state }) => state)).to.deep.equal(['present', 'present', 'present']);
    expect(registry.requests.slice(before).map(({ path }) => path)).to.deep.equal([
      '_ping',
      'repositories/a/b/images',
      'repositories/a/b/tags/1',
    ]);
  });

  it('fetches only the layers of a newer image that are new, by checksum', async () => {
    const registry = await serve();
    registry.add('a/b', '1', chain());
    await pull(registry.host);
    registry.add('a/b', '1', [...chain(), { id: idOf('newest'), layer: gzipSync(file('three')), json: {} }]);
    const before = registry.requests.length;
    const result = await pull(registry.host);
    expect(result.layers.map(({ state }) => state)).to.deep.equal(['present', 'present', 'present', 'fetched']);
    const layers = registry.requests.slice(before).filter(({ path }) => path.endsWith('/layer'));
    expect(layers.map(({ path }) => path)).to.deep.equal([`images/${idOf('newest')}/layer`]);
    expect(await filesOf(result.id)).to.deep.equal(['three', 'two']);
  });

  it('takes no layer for another one of the same ID (CVE-2014-8178)', async () => {
    const [first, second] = [await serve(), await serve()];
    first.add('a/b', '1', [{ id: idOf('same'), layer: gzipSync(file('evil')) }]);
    second.add('a/b', '1', [{ id: idOf('same'), layer: gzipSync(file('good')) }]);
    await pull(first.host);
    expect(await filesOf((await pull(second.host)).id)).to.deep.equal(['good']);
  });

  describe('of layers in every form', () => {
    const tar = file('dir/file', 'x'.repeat(100_000));
    const through = (program: string): Buffer => execFileSync(program, ['-c'], { input: tar });
    for (const [name, layer, stays] of [
      ['plain', tar, true],
      ['gzip', gzipSync(tar), true],
      ['zstd', () => zstdCompress(tar), true],
      ['xz', () => through('xz'), false],
      ['bzip2', () => through('bzip2'), false],
    ] as const) {
      it(name, async () => {
        const bytes = typeof layer === 'function' ? layer() : layer;
        const registry = await serve();
        registry.add('a/b', '1', [{ id: idOf(name), layer: bytes }]);
        const { id, layers } = await pull(registry.host);
        expect(await filesOf(id)).to.deep.equal(['dir', 'dir/file']);
        expect(layers[0]!.digest === digestOf(bytes)).to.equal(stays);
        expect(parseImageConfig(await local.content.read(id), 'c').rootfs.diff_ids).to.deep.equal([digestOf(tar)]);
      });
    }

    it('of no bytes: an empty layer', async () => {
      const registry = await serve();
      registry.add('a/b', '1', [
        { id: idOf('r'), layer: tar },
        { id: idOf('e'), layer: Buffer.alloc(0) },
      ]);
      const { id } = await pull(registry.host);
      expect(await filesOf(id)).to.deep.equal(['dir', 'dir/file']);
      expect(parseImageConfig(await local.content.read(id), 'c').rootfs.diff_ids[1]).to.equal(digestOf(EMPTY_TAR));
    });

    it('cut off: an error, nothing left', async () => {
      const registry = await serve();
      const cut = [through('xz').subarray(0, 60), gzipSync(tar).subarray(0, -9), tar.subarray(0, 60_000)];
      for (const [i, layer] of cut.entries()) {
        registry.add('a/b', `${i}`, [{ id: idOf(`cut ${i}`), layer }]);
        const error = await rejection(pull(registry.host, { tag: `${i}` }));
        expect([error, exitCodeOf(error)], `${i}`).to.deep.equal([error, 6]);
        expect(error).to.be.instanceOf(LayerFormatError);
      }
      await expectNothingLeft();
    });
  });

  it('leaves the leftovers of AUFS out and resolves links into its link store', async () => {
    const registry = await serve();
    const entries: TarEntry[] = [
      { path: '.wh..wh.aufs' },
      { path: '.wh..wh.orph', type: 'dir' },
      { path: '.wh..wh.plnk', type: 'dir' },
      { path: '.wh..wh.plnk/84.12', content: 'linked' },
      { path: 'name', type: 'hardlink', target: '.wh..wh.plnk/84.12' },
    ];
    registry.add('a/b', '1', [{ id: idOf('aufs'), layer: Buffer.from(writeTar(entries)) }]);
    const { id } = await pull(registry.host);
    expect(await filesOf(id)).to.deep.equal(['name']);
    const [container] = await local.metadata.containers.list();
    expect(readFileSync(join(local.snapshots.containerPath(container!.id), 'name'), 'utf8')).to.equal('linked');
  });

  describe('with access control', () => {
    for (const tokens of ['plain', 'doubled'] as const) {
      it(`gets a token from the index and shows it (${tokens})`, async () => {
        const registry = await serve({ tokens, login: 'user:secret', cookies: true });
        registry.add('a/b', '1', chain());
        const credentials = () => Promise.resolve({ username: 'user', password: 'secret', source: 'test' });
        expect(await filesOf((await pull(registry.host, { client: { credentials } })).id)).to.deep.equal(['two']);
        // The password goes to the index alone.
        const basic = registry.requests.filter(({ headers }) => /^Basic/.test(headers.authorization ?? ''));
        expect([...new Set(basic.map(({ path }) => path))]).to.deep.equal(['repositories/a/b/images']);
      });
    }

    it('follows the index where it sends us, layers to storage that gets no secrets', async () => {
      const images = chain();
      const storage = await serve({
        intercept: (seen, response) => {
          if (!seen.path.startsWith('stored/')) return false;
          response.end(images.find(({ id }) => seen.path.endsWith(id))!.layer);
          return true;
        },
      });
      const other = await serve({
        ...{ tokens: 'plain', cookies: true },
        intercept: ({ path }, response) => {
          const [, id] = /^images\/(.*)\/layer$/.exec(path) ?? [];
          if (id === undefined) return false;
          response.writeHead(302, { location: `http://${storage.host}/v1/stored/${id}` }).end();
          return true;
        },
      });
      other.add('a/b', '1', images);
      const index = await serve({
        intercept: ({ path }, response) => {
          if (path !== 'repositories/a/b/images') return false;
          response.writeHead(307, { location: `http://${other.host}/v1/${path}` }).end();
          return true;
        },
      });
      const credentials = () => Promise.resolve({ username: 'user', password: 'secret', source: 'test' });
      expect(await filesOf((await pull(index.host, { client: { credentials } })).id)).to.deep.equal(['two']);
      expect(other.requests.filter(({ headers }) => /^Basic/.test(headers.authorization ?? ''))).to.deep.equal([]);
      const secrets = storage.requests.map(({ headers: { authorization, cookie } }) => [authorization, cookie]);
      expect(secrets).to.deep.equal(Array(3).fill([undefined, undefined]));
    });

    it('says that a login is wanted', async () => {
      const registry = await serve({ login: 'user:secret' });
      registry.add('a/b', '1', chain());
      expect(await rejection(pull(registry.host))).to.be.instanceOf(AuthenticationError);
      await expectNothingLeft();
    });

    it('never takes a password to the endpoints of another host', async () => {
      const images = await serve({ tokens: 'plain' });
      images.add('a/b', '1', chain());
      const index = await serve({ login: 'user:secret', tokens: 'plain', endpoints: () => [images.host] });
      index.add('a/b', '1', chain());
      const credentials = () => Promise.resolve({ username: 'user', password: 'secret', source: 'test' });
      const error = await rejection(pull(index.host, { client: { credentials } }));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(images.requests.filter(({ headers }) => /Basic/.test(headers.authorization ?? ''))).to.deep.equal([]);
    });
  });

  it('goes on at the next endpoint when one is dead or fails in the middle', async () => {
    const images = chain();
    const failing = await serve({
      intercept: ({ path }, response) => {
        if (path !== `images/${images[2]!.id}/layer`) return false;
        response.writeHead(404, { 'content-type': 'text/html' }).end('<html>');
        return true;
      },
    });
    failing.add('a/b', '1', images);
    const healthy = await serve();
    healthy.add('a/b', '1', images);
    const index = await serve({ endpoints: () => ['127.0.0.1:1', failing.host, healthy.host] });
    index.add('a/b', '1', images);
    expect(await filesOf((await pull(index.host)).id)).to.deep.equal(['two']);
    expect(healthy.paths('GET')).to.include(`images/${images[2]!.id}/layer`);
    expect(index.paths('GET').filter((path) => path.startsWith('images/'))).to.deep.equal([]);
  });

  describe('over a connection that breaks', () => {
    const layer = file('big', 'y'.repeat(400_000));
    /** Cuts the first answer for the layer after `bytes`. */
    const cutAfter = (
      bytes: number,
      more: Record<string, string> = { 'accept-ranges': 'bytes' },
    ): V1RegistryOptions => {
      let cut = false;
      return {
        intercept: ({ path }, response) => {
          if (cut || !path.endsWith('/layer')) return false;
          cut = true;
          response.writeHead(200, { 'content-length': layer.length, ...more });
          response.write(layer.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20));
          return true;
        },
      };
    };
    const ranges = (registry: V1Registry): (string | undefined)[] =>
      registry.requests.filter(({ path }) => path.endsWith('/layer')).map(({ headers }) => headers.range);

    for (const [name, bytes, range] of [
      ['in the middle', 200_000, `bytes=200000-${layer.length - 1}`],
      ['one byte before the end', layer.length - 1, `bytes=${layer.length - 2}-${layer.length - 1}`],
    ] as const) {
      it(`goes on where it stopped, ${name}: the range ends at the last byte`, async () => {
        const registry = await serve(cutAfter(bytes));
        registry.add('a/b', '1', [{ id: idOf('big'), layer }]);
        const { layers } = await pull(registry.host);
        expect(layers[0]!.digest).to.equal(digestOf(layer));
        expect(ranges(registry)).to.deep.equal([undefined, range]);
      });
    }

    it('starts over where the server knows no ranges', async () => {
      const registry = await serve(cutAfter(200_000, {}));
      registry.add('a/b', '1', [{ id: idOf('big'), layer }]);
      expect((await pull(registry.host)).layers[0]!.digest).to.equal(digestOf(layer));
      expect(ranges(registry)).to.deep.equal([undefined, undefined]);
    });

    it('starts over where a range is answered by all of it', async () => {
      const cut = cutAfter(200_000).intercept!;
      const registry = await serve({
        intercept: async (seen, response) => {
          if ((await cut(seen, response)) || seen.headers.range === undefined)
            return seen.headers.range === undefined && response.headersSent;
          response.end(layer);
          return true;
        },
      });
      registry.add('a/b', '1', [{ id: idOf('big'), layer }]);
      expect((await pull(registry.host)).layers[0]!.digest).to.equal(digestOf(layer));
      expect(ranges(registry)).to.deep.equal([undefined, `bytes=200000-${layer.length - 1}`]);
    });

    it('takes a length that is one too large for what it is', async () => {
      const registry = await serve({
        intercept: ({ path }, response) => {
          if (!path.endsWith('/layer')) return false;
          response.writeHead(200, { 'content-length': layer.length + 1 });
          response.write(layer, () => setTimeout(() => response.destroy(), 20));
          return true;
        },
      });
      registry.add('a/b', '1', [{ id: idOf('big'), layer }]);
      expect((await pull(registry.host)).layers[0]!.digest).to.equal(digestOf(layer));
    });

    it('gives up on a layer that ends early each time, nothing left', async () => {
      const registry = await serve({
        noChecksums: true,
        intercept: ({ path }, response) => {
          if (!path.endsWith('/layer')) return false;
          response.writeHead(200, { 'content-length': layer.length });
          response.write(layer.subarray(0, 1000), () => setTimeout(() => response.destroy(), 5));
          return true;
        },
      });
      registry.add('a/b', '1', [{ id: idOf('big'), layer }]);
      expect(await rejection(pull(registry.host))).to.be.instanceOf(TransportError);
      await expectNothingLeft();
    });
  });

  describe('goes on in a later pull', () => {
    const big = (name: string): Buffer => gzipSync(writeTar([{ path: name, content: randomBytes(600_000) }]));
    const xz = execFileSync('xz', ['-c'], { input: file('xz') });

    /** A registry whose last layer breaks off after `bytes` as long as `broken.now` is true. */
    async function breaking(bytes: (size: number) => number, more: V1RegistryOptions = {}) {
      const broken = { now: true };
      const images = [
        { id: idOf('base'), layer: gzipSync(file('base')) },
        { id: idOf('xz'), layer: xz },
        { id: idOf('big'), layer: big('big') },
      ];
      const registry: V1Registry = await serve({
        ...more,
        intercept: async ({ path, headers }, response) => {
          if (!broken.now || path !== `images/${idOf('big')}/layer`) return false;
          for (const other of ['base', 'xz'])
            while ((await local.content.finishedPart(`v1 layer ${registry.host} ${idOf(other)}`)) === undefined)
              await sleep(10);
          if (headers.range !== undefined) {
            response.destroy();
            return true;
          }
          const { layer } = images[2]!;
          response.writeHead(200, { 'accept-ranges': 'bytes', 'content-length': layer.length });
          response.write(layer.subarray(0, bytes(layer.length)), () => setTimeout(() => response.destroy(), 50));
          return true;
        },
      });
      registry.add('a/b', '1', images);
      expect(await rejection(pull(registry.host))).to.be.instanceOf(TransportError);
      broken.now = false;
      const before = registry.requests.length;
      const asked = (): string[] =>
        registry.requests
          .slice(before)
          .filter(({ path }) => path.endsWith('/layer'))
          .map(({ path, headers }) => `${names.get(path.split('/')[1]!)} ${headers.range ?? 'whole'}`);
      const names = new Map(images.map(({ id }, at) => [id, ['base', 'xz', 'big'][at]!]));
      return { registry, images, asked, size: images[2]!.layer.length };
    }

    async function expectWhole(host: string): Promise<void> {
      expect(await filesOf((await pull(host)).id)).to.deep.equal(['base', 'big', 'xz']);
      expect(await readdir(join(root, 'ingest'))).to.deep.equal([]);
    }

    it('asks for the rest of what broke off, and for nothing that is whole', async () => {
      const { registry, asked, size } = await breaking(() => 400_000);
      await expectWhole(registry.host);
      expect(asked()).to.deep.equal([`big bytes=400000-${size - 1}`]);
    });

    it('asks for two bytes when one is missing', async () => {
      const { registry, asked, size } = await breaking((all) => all - 1);
      await expectWhole(registry.host);
      expect(asked()).to.deep.equal([`big bytes=${size - 2}-${size - 1}`]);
    });

    it('asks for nothing when all is there', async () => {
      const { registry, images, asked } = await breaking(() => 400_000);
      const part = await local.content.beginPart(`v1 layer ${registry.host} ${idOf('big')}`, { signal: never });
      await part.write(images[2]!.layer.subarray(400_000));
      await part.release();
      await expectWhole(registry.host);
      expect(asked()).to.deep.equal([]);
    });

    it('fetches all of a layer that has become another one', async () => {
      const { registry, images, asked, size } = await breaking(() => 400_000);
      const other = { ...images[2]!, layer: big('big') };
      registry.add('a/b', '1', [...images.slice(0, 2), other]);
      await expectWhole(registry.host);
      expect(asked()[0]).to.match(/^big bytes=400000-/);
      expect(asked().slice(1)).to.deep.equal(['big whole']);
      expect(size).to.be.greaterThan(400_000);
    });

    it('starts over where the registry has no checksum that would prove the whole', async () => {
      const { registry, asked } = await breaking(() => 400_000, { noChecksums: true });
      await expectWhole(registry.host);
      expect(asked().sort()).to.deep.equal(['base whole', 'big whole', 'xz whole']);
    });

    it('leaves to gc what nobody goes on with, which says what it was', async () => {
      const { registry } = await breaking(() => 400_000);
      const left = await readdir(join(root, 'ingest'));
      expect(left).to.have.length(3);
      await local.content.sweep();
      expect(await readdir(join(root, 'ingest'))).to.deep.equal(left);
      const old = new Date(Date.now() - 2 * 24 * 60 * 60 * 1000);
      for (const name of await readdir(join(root, 'ingest'), { recursive: true }))
        await utimes(join(root, 'ingest', name), old, old);
      const content = createContentStore({ root });
      const { downloads } = await collectGarbage(
        { ...local, content },
        { dropBlobs: false, dryRun: false, signal: never },
      );
      expect(downloads).to.deep.equal([{ digest: null, host: registry.host, v1Id: idOf('big'), size: 400_000 }]);
      expect(await readdir(join(root, 'ingest'))).to.deep.equal([]);
      expect(await blobsInStore()).to.deep.equal([]);
    });
  });

  it('fetches a layer again that does not fit its checksum, and believes the second', async () => {
    const layer = gzipSync(file('one'));
    let first = true;
    const registry = await serve({
      intercept: ({ path }, response) => {
        if (!path.endsWith('/layer') || !first) return false;
        first = false;
        response.end(gzipSync(file('two')));
        return true;
      },
    });
    registry.add('a/b', '1', [{ id: idOf('x'), layer }]);
    expect(await filesOf((await pull(registry.host)).id)).to.deep.equal(['one']);
  });

  it('refuses a layer with a wrong payload checksum, nothing left', async () => {
    const registry = await serve();
    registry.add('a/b', '1', chain());
    registry.images.get(idOf('meta'))!.checksum = `sha256:${'0'.repeat(64)}`;
    expect(await rejection(pull(registry.host))).to.be.instanceOf(DigestMismatchError);
    await expectNothingLeft();
  });

  it('reads checksums under their older name, and takes one of several', async () => {
    const layer = gzipSync(file('one'));
    let sums: readonly string[] = [];
    const registry = await serve({
      noChecksums: true,
      intercept: ({ path }, response) => {
        if (path.endsWith('/json')) response.setHeader('x-docker-payload-checksum', sums);
        return false;
      },
    });
    registry.add('a/b', '1', [{ id: idOf('x'), layer }]);
    const { checksum } = registry.images.get(idOf('x'))!;
    sums = [`sha256:${'0'.repeat(64)}`];
    expect(await rejection(pull(registry.host))).to.be.instanceOf(DigestMismatchError);
    sums = [...sums, checksum!];
    await pull(registry.host);
  });

  it('takes the answers of the Go server: no JSON to a ping, all tags where one was asked for', async () => {
    const registry = await serve({
      noChecksums: true,
      intercept: ({ path }, response) => {
        if (path === '_ping') response.writeHead(200, { 'content-type': 'text/plain' }).end('pong');
        if (path === 'repositories/a/b/tags/1') response.end(JSON.stringify({ 0: idOf('root'), 1: idOf('leaf') }));
        return response.writableEnded;
      },
    });
    registry.add('a/b', '1', chain());
    expect(await filesOf((await pull(registry.host)).id)).to.deep.equal(['two']);
    const page = await serve({
      intercept: (_seen, response) => {
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>welcome');
        return true;
      },
    });
    await rejection(pull(page.host));
    const forced = await rejection(pull(page.host, { client: { registryVersion: '1' } }));
    expect(forced.message).to.equal(`${page.host} does not speak registry protocol v1`);
    expect(page.paths('GET').filter((path) => path.startsWith('repositories'))).to.deep.equal([]);
  });

  it('checks the TarSum where there is nothing else', async () => {
    const tar = file('one');
    const sumOf = (json: Buffer): string => {
      const sum = new TarSum();
      sum.update(tar);
      return sum.end(json).v0;
    };
    const registry = await serve();
    registry.add('a/b', '1', [{ id: idOf('x'), layer: gzipSync(tar), tarSum: 'to be set' }]);
    const stored = registry.images.get(idOf('x'))!;
    stored.tarSum = sumOf(stored.json);
    await pull(registry.host);
    registry.add('a/b', '2', [{ id: idOf('y'), layer: gzipSync(tar), tarSum: sumOf(Buffer.from('{}')) }]);
    expect(await rejection(pull(registry.host, { tag: '2' }))).to.be.instanceOf(DigestMismatchError);
    // A sum that depends on how its maker sorts proves nothing: one of these two is such a one.
    const twice = (...contents: string[]): Buffer =>
      Buffer.from(writeTar(contents.map((content) => ({ path: 'f', content }))));
    const outcomes: unknown[] = [];
    for (const [i, layer] of [twice('1', '2'), twice('2', '1')].entries()) {
      registry.add('a/b', '3', [{ id: idOf(`twice ${i}`), layer, tarSum: sumOf(Buffer.from('{}')) }]);
      outcomes.push(
        await pull(registry.host, { tag: '3' }).then(
          () => 'taken',
          () => 'refused',
        ),
      );
    }
    expect(outcomes.sort()).to.deep.equal(['refused', 'taken']);
  });

  it('waits for an image that is being uploaded, and says so in the end', async () => {
    const registry = await serve();
    registry.add('a/b', '1', chain());
    const leaf = registry.images.get(idOf('leaf'))!;
    const { checksum } = leaf;
    let asked = 0;
    leaf.checksum = undefined;
    const finish = await serve({
      intercept: ({ path }) => {
        // In progress for the ancestry's server too, so it is finished before that and undone after.
        if (path.endsWith('/json') && path.includes(idOf('leaf'))) asked += 1;
        finish.images.get(idOf('leaf'))!.checksum = asked === 1 ? undefined : checksum;
        return false;
      },
    });
    finish.add('a/b', '1', chain());
    await pull(finish.host);
    expect(asked).to.be.greaterThan(1);
    const error = await rejection(pull(registry.host));
    expect(error).to.be.instanceOf(RegistryError);
    expect(error.hint).to.match(/a push of this image is in progress/);
  });

  for (const [name, spoil, kind] of [
    [
      'a loop in the ancestry',
      (r: V1Registry) =>
        (r.images.get(idOf('root'))!.json = Buffer.from(JSON.stringify({ id: idOf('root'), parent: idOf('leaf') }))),
      InvalidManifestError,
    ],
    ['an ID that is not hex', (r: V1Registry) => r.tags.get('a/b')!.set('1', '../../etc/passwd'), InvalidManifestError],
    ['a missing ancestor', (r: V1Registry) => r.images.delete(idOf('root')), NotFoundError],
    [
      'a JSON of another image',
      (r: V1Registry) => (r.images.get(idOf('meta'))!.json = r.images.get(idOf('root'))!.json),
      InvalidManifestError,
    ],
    ['an unknown tag', (r: V1Registry) => r.tags.get('a/b')!.delete('1'), NotFoundError],
    ['an unknown repository', (r: V1Registry) => r.index.delete('a/b'), NotFoundError],
  ] as const) {
    it(`refuses ${name}, nothing left`, async () => {
      const registry = await serve();
      registry.add('a/b', '1', chain());
      spoil(registry);
      expect(await rejection(pull(registry.host))).to.be.instanceOf(kind);
      await expectNothingLeft();
    });
  }

  it('plans a pull, and tells what is there without pulling', async () => {
    const registry = await serve();
    const images = chain();
    registry.add('a/b', '1', images);
    const reference = parseReference(`${registry.host}/a/b:1`);
    const query = { reference, platform: hostPlatform(), platformGiven: false, signal: never };
    const remote = { registry: suite.client() };
    const ids = images.map(({ id }) => id);
    const bytes = images.reduce((sum, { layer }) => sum + layer.length, 0);

    const before = await planPull({ progress: local.progress, ...remote }, query);
    expect(before).to.include({ digest: null, v1Id: ids[2], fetchBytes: bytes, presentBytes: 0, freeBytes: null });
    expect(before.layers.map(({ v1Id, state }) => [v1Id, state])).to.deep.equal(ids.map((id) => [id, 'fetched']));

    const inspected = await inspectRemoteImage(remote, reference, query);
    expect(inspected.raw.equals(registry.images.get(ids[2]!)!.json)).to.equal(true);
    expect(inspected.image).to.include({ id: null, digest: null, v1Id: ids[2], size: bytes, os: 'linux' });
    expect(inspected.image.names).to.deep.equal([`${registry.host}/a/b:1`]);
    expect(registry.paths('GET').filter((path) => path.endsWith('/layer'))).to.deep.equal([]);

    const { id } = await pull(registry.host);
    const { rootfs: _rootfs, ...config } = parseImageConfig(await local.content.read(id), 'config');
    const { rootfs: _none, ...told } = parseImageConfig(inspected.config, 'config');
    expect(told).to.deep.equal(config);
    registry.add('a/b', '1', [...images, { id: idOf('newest'), layer: gzipSync(file('three')) }]);
    const after = await planPull({ ...local, ...remote }, query);
    expect(after.layers.map(({ state }) => state)).to.deep.equal(['present', 'present', 'present', 'fetched']);
    expect(after.layers[0]!.digest).to.equal(digestOf(images[0]!.layer));
    expect(after).to.include({ presentBytes: bytes, fetchBytes: gzipSync(file('three')).length });

    const refusal = await rejection(resolveDigest(remote, reference, query));
    expect(refusal).to.be.instanceOf(UsageError);
    expect((refusal as UsageError).hint).to.equal(
      `the ID of its image is in: imgtool inspect docker-v1://${registry.host}/a/b:1`,
    );
  });

  it('refuses a digest: v1 has none', async () => {
    const registry = await serve();
    const reference = { host: registry.host, repository: 'a/b', digest: digestOf('x'), registryVersion: 1 as const };
    const request = { platform: hostPlatform(), platformGiven: false, reserveBytes: 0, signal: never };
    const pulling = pullImage({ ...local, registry: suite.client() }, { ...request, reference, policy: 'always' });
    expect(await rejection(pulling)).to.be.instanceOf(UsageError);
  });

  it('refuses early what does not fit', async () => {
    const registry = await serve();
    registry.add('a/b', '1', chain());
    expect(await rejection(pull(registry.host, { reserveBytes: 2 ** 50 }))).to.be.instanceOf(DiskSpaceError);
    await expectNothingLeft();
  });

  it('leaves a registry alone that speaks v2, and one that must not be asked by v1', async () => {
    const both = await serve({ alsoV2: true });
    both.add('a/b', '1', chain());
    expect(await rejection(pull(both.host))).to.be.instanceOf(NotFoundError);
    const only = await serve();
    only.add('a/b', '1', chain());
    expect(await rejection(pull(only.host, { client: { registryVersion: '2' } }))).to.be.instanceOf(NotFoundError);
    expect([...both.paths('GET'), ...only.paths('GET')].filter((path) => path.startsWith('repo'))).to.deep.equal([]);
    await pull(both.host, { client: { registryVersion: '1' } });
  });

  it('lists tags, of servers that know only the old form too, and searches', async () => {
    const registry = await serve({
      intercept: ({ path }, response) => {
        if (path !== 'repositories/old/form/tags') return false;
        response.end(JSON.stringify([{ name: 'x', layer: idOf('leaf') }]));
        return true;
      },
    });
    registry.add('a/b', '1', chain());
    registry.add('a/b', '2', chain());
    registry.add('old/form', 'y', chain());
    registry.add('library/one', 'z', chain());
    const deps = { registry: suite.client() };
    const { host } = registry;
    expect(await listTags(deps, { host, repository: 'a/b' }, { signal: never })).to.deep.equal(['1', '2']);
    expect(await listTags(deps, { host, repository: 'old/form' }, { signal: never })).to.deep.equal(['x']);
    expect(await listTags(deps, { host, repository: 'one' }, { signal: never })).to.deep.equal(['z']);
    const found = await searchRegistry(deps, { host, term: 'b', limit: 1 }, { signal: never });
    expect(found).to.deep.equal([{ name: 'a/b', description: 'about\na/b', stars: undefined, official: false }]);
  });

  it('unpacks a chain of 127 layers', async () => {
    const registry = await serve();
    const images = Array.from({ length: 127 }, (_, at) => ({ id: idOf(at), layer: gzipSync(file(`f${at}`)) }));
    registry.add('a/b', '1', images);
    const { id, layers } = await pull(registry.host);
    expect(layers).to.have.length(127);
    expect(await filesOf(id)).to.have.length(127);
  });

  it('asks for all ancestors at once: 20 layers in at most 4 round trips more than the layers alone', async () => {
    // Requests for images wait until as many are there as may be, and then are let through together: one round trip
    // each time. That no more come for a long while counts too.
    const parallel = 6;
    let waiting: (() => void)[] = [];
    let [rounds, seen] = [0, 0];
    let timer: NodeJS.Timeout | undefined;
    const release = (): void => {
      clearTimeout(timer);
      rounds += 1;
      const released = waiting;
      waiting = [];
      for (const go of released) go();
    };
    const pause = ({ path }: V1Seen): Promise<void> => {
      if (!/^images\/.*\/(json|layer)$/.test(path)) {
        rounds += 1;
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        waiting.push(resolve);
        seen += 1;
        clearTimeout(timer);
        timer = setTimeout(release, 3000);
        if (waiting.length === 2 * parallel || seen === 40) release();
      });
    };
    const registry = await serve({ pause });
    registry.add(
      'a/b',
      '1',
      Array.from({ length: 20 }, (_, at) => ({ id: idOf(at), layer: gzipSync(file(`f${at}`)) })),
    );
    await pull(registry.host, { client: { registryVersion: '1', parallel } });
    const layersAlone = Math.ceil(20 / parallel);
    expect(rounds).to.be.at.most(layersAlone + 4);
  });
});
