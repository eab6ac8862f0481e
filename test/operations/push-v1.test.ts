import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { createContentStore, type ContentStore } from '../../lib/content/index.js';
import { NotFoundError, RegistryError, UsageError } from '../../lib/errors.js';
import { createLayerApplier, packLayer, recompressLayer, type LayerApplier } from '../../lib/layer/index.js';
import { createMetadataStore, type MetadataStore } from '../../lib/metadata/index.js';
import {
  commitContainer,
  createContainer,
  deleteRemoteManifest,
  findImage,
  listRepositories,
  planPush,
  pullImage,
  pushImage,
  type PushRequest,
  type PushResult,
} from '../../lib/operations/index.js';
import type { RegistryClient, RegistryClientOptions } from '../../lib/registry/index.js';
import { changes, createSnapshotter, openStore, type Snapshotter } from '../../lib/snapshot/index.js';
import { digestHex, digestOf, hostPlatform, parseReference } from '../../lib/spec/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { rejection } from '../helpers/rejection.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { storeImage } from '../helpers/stored-image.js';
import { writeTar } from '../helpers/tar-writer.js';
import { payloadOf, V1Registry, type V1RegistryOptions } from '../helpers/v1-registry.js';

const signal = new AbortController().signal;
const idOf = (name: string): string => digestHex(digestOf(`image ${name}`));
const layerOf = (path: string): Buffer => gzipSync(Buffer.from(writeTar([{ path, content: path }])));

describe('operations/push by protocol v1', () => {
  const suite = scriptedSuite();
  let applier: LayerApplier;
  let registries: V1Registry[];
  let local: Omit<Parameters<typeof pushImage>[0] & Parameters<typeof commitContainer>[0], 'registry'> & {
    content: ContentStore;
    metadata: MetadataStore;
    snapshots: Snapshotter;
    createApplier: () => LayerApplier;
  };
  before(() => {
    applier = createLayerApplier();
  });
  after(() => applier.close());
  beforeEach(async () => {
    const { root } = await openStore(join(await mkdtemp(join(btrfsDirectory('v1'), 'x-')), 'root'), { create: true });
    registries = [];
    local = {
      content: createContentStore({ root }),
      metadata: createMetadataStore({ root }),
      snapshots: createSnapshotter({ root }),
      createApplier: () => ({ apply: (input) => applier.apply(input), close: () => Promise.resolve() }),
      compareTrees: changes,
      packLayer,
      recompressLayer,
      progress: { event: () => undefined, note: () => undefined },
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

  async function pull(host: string): Promise<string> {
    const reference = { host, repository: 'a/b', tag: '1' };
    const request = { platform: hostPlatform(), platformGiven: false, policy: 'always', reserveBytes: 0 } as const;
    return (await pullImage({ ...local, registry: suite.client() }, { ...request, reference, signal })).id;
  }

  async function push(
    image: string,
    target: string,
    more: Partial<PushRequest> = {},
    client: RegistryClientOptions = {},
  ): Promise<PushResult> {
    const { record } = await findImage(local, image);
    const request: PushRequest = {
      record,
      reference: parseReference(target),
      tags: [],
      compression: undefined,
      signal,
    };
    return pushImage({ ...local, registry: suite.client(client) }, { ...request, ...more });
  }

  /** Commits a new file on top of an image. */
  async function commitFile(image: string, name: string): Promise<string> {
    const { id } = await createContainer(local, { image, name: undefined, signal });
    await writeFile(join(local.snapshots.containerPath(id), name), name);
    return commit(id, []);
  }

  async function commit(container: string, changed: readonly string[]): Promise<string> {
    const request = { container, changes: changed, squash: false, emptyOk: true, signal };
    return (await commitContainer(local, request)).id;
  }

  /** Pushes an image of one layer as `me` and checks that it arrived whole. */
  async function pushWithLogin(registry: V1Registry): Promise<void> {
    const record = await storeImage(local, [layerOf('one')]);
    const credentials = { username: 'me', password: 'pw', source: 'test' };
    const client = { credentials: () => Promise.resolve(credentials) };
    await push(record.id, `${registry.host}/a/b:1`, { format: 'v1' }, client);
    const [stored] = [...registry.images.values()];
    expect(stored!.checksum).to.equal(payloadOf(stored!.json, stored!.layer!));
  }

  const chain = [
    { id: idOf('root'), layer: layerOf('one'), json: { created: '2014-03-01T10:00:00Z', unheard: [1] } },
    { id: idOf('leaf'), layer: layerOf('two'), json: { config: { Env: ['A=1'] } } },
  ];
  const uploads = (registry: V1Registry): string[] =>
    registry.paths('PUT').filter((path) => path.startsWith('images/'));

  it('gives an image back as it was: same IDs, JSONs and layers, byte for byte', async () => {
    const [from, to] = [await serve(), await serve()];
    from.add('a/b', '1', chain);
    const id = await pull(from.host);
    const plan = async (): Promise<string[]> => {
      const { record } = await findImage(local, id);
      const reference = parseReference(`${to.host}/c/d:2`);
      const request = { record, reference, tags: [], compression: undefined, signal };
      const { layers, uploadBytes } = await planPush({ ...local, registry: suite.client() }, request);
      return [...layers.map(({ state }) => state), uploadBytes > 0 ? 'bytes' : 'nothing'];
    };
    expect(await plan()).to.deep.equal(['uploaded', 'uploaded', 'bytes']);
    expect(to.paths('PUT')).to.deep.equal([]);
    const result = await push(id, `${to.host}/c/d:2`, { tags: ['latest'] });
    expect(await plan()).to.deep.equal(['present', 'present', 'nothing']);
    expect(result.layers.map(({ state }) => state)).to.deep.equal(['uploaded', 'uploaded']);
    for (const { id } of chain) {
      expect(to.images.get(id)!.json.equals(from.images.get(id)!.json)).to.equal(true);
      expect(to.images.get(id)!.layer!.equals(from.images.get(id)!.layer!)).to.equal(true);
      expect(to.images.get(id)!.checksum).to.equal(from.images.get(id)!.checksum);
    }
    expect([...to.tags.get('c/d')!]).to.deep.equal([
      ['2', idOf('leaf')],
      ['latest', idOf('leaf')],
    ]);
    // Root first, one after the other, each with its checksum before the next.
    expect(uploads(to)).to.deep.equal(
      chain.flatMap(({ id }) => ['json', 'layer', 'checksum'].map((what) => `images/${id}/${what}`)),
    );
    expect(to.paths('PUT').at(-1)).to.equal('repositories/c/d/images');
    const again = await push(result.id, `${to.host}/c/d:2`);
    expect(again.layers.map(({ state }) => state)).to.deep.equal(['present', 'present']);
  });

  it('a host of v1 alone, which answers v2 with a page: planned, pushed, listed and deleted all the same', async () => {
    const registry = await serve({
      intercept: ({ path }, response) => {
        if (!path.startsWith('/v2/')) return false;
        response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not Found</h1>');
        return true;
      },
    });
    registry.add('old/app', '1', chain);
    registry.add('old/app', '2', chain);
    const record = await storeImage(local, [layerOf('one')]);
    const reference = parseReference(`${registry.host}/a/b:1`);
    const client = (): { registry: RegistryClient } => ({ registry: suite.client() });
    const request = { record, reference, tags: [], compression: undefined, signal };
    const { layers } = await planPush({ ...local, ...client() }, request);
    expect(layers.map(({ state }) => state)).to.deep.equal(['uploaded']);
    await push(record.id, `${registry.host}/a/b:1`);
    expect(await listRepositories(client(), registry.host, { signal })).to.have.members(['old/app', 'a/b']);

    const old = parseReference(`${registry.host}/old/app:1`);
    for (const dryRun of [true, false]) {
      const removed = await deleteRemoteManifest(client(), old, { tagOnly: false, dryRun, signal });
      expect(removed).to.deep.equal({ digest: null, tags: ['1'] });
      expect([...registry.tags.get('old/app')!.keys()]).to.deep.equal(dryRun ? ['1', '2'] : ['2']);
    }
    const gone = deleteRemoteManifest(client(), old, { tagOnly: true, dryRun: false, signal });
    expect(await rejection(gone)).to.be.instanceOf(NotFoundError);
    const pinned = { ...old, digest: digestOf('x') };
    const refused = deleteRemoteManifest(client(), pinned, { tagOnly: false, dryRun: false, signal });
    expect(await rejection(refused)).to.be.instanceOf(UsageError);
  });

  it('pushes of a commit only the new image, and of a commit on that only the newer one', async () => {
    const registry = await serve();
    registry.add('a/b', '1', chain);
    const first = await commitFile(await pull(registry.host), 'three');
    await push(first, `${registry.host}/a/b:2`);
    const firstId = first.slice('sha256:'.length);
    expect(uploads(registry)).to.deep.equal(['json', 'layer', 'checksum'].map((what) => `images/${firstId}/${what}`));
    const second = await commitFile(first, 'four');
    const before = uploads(registry).length;
    await push(second, `${registry.host}/a/b:3`);
    const secondId = second.slice('sha256:'.length);
    expect(uploads(registry).slice(before)).to.deep.equal(
      ['json', 'layer', 'checksum'].map((what) => `images/${secondId}/${what}`),
    );
    const json = JSON.parse(registry.images.get(secondId)!.json.toString()) as Record<string, unknown>;
    expect(json).to.include({ id: secondId, parent: firstId });
    expect(json).to.not.have.any.keys('rootfs', 'history');
  });

  it('adds an image of no files where only the config has changed', async () => {
    const registry = await serve();
    registry.add('a/b', '1', chain);
    const { id } = await createContainer(local, { image: await pull(registry.host), name: undefined, signal });
    const image = await commit(id, ['ENV B=2']);
    await push(image, `${registry.host}/a/b:2`);
    const top = registry.images.get(image.slice('sha256:'.length))!;
    expect(JSON.parse(top.json.toString())).to.deep.include({ parent: idOf('leaf'), config: { Env: ['A=1', 'B=2'] } });
    expect(top.layer).to.have.length(32);
  });

  it('gives the layers of a modern image the IDs that Docker gave them', async () => {
    const registry = await serve();
    const record = await storeImage(local, [layerOf('one'), layerOf('two')]);
    await push(record.id, `${registry.host}/a/b:1`, { format: 'v1' });
    expect([...registry.images.keys()]).to.deep.equal([digestHex(record.chainIds[0]!), digestHex(record.id)]);
    expect(registry.images.get(digestHex(record.chainIds[0]!))!.json.toString()).to.equal(
      `{"id":"${digestHex(record.chainIds[0]!)}"}`,
    );
    expect([...registry.index.get('a/b')!]).to.deep.equal([...registry.images.keys()]);
  });

  for (const tokens of ['plain', 'doubled'] as const) {
    it(`with a token that may write, and so cannot ask what is there; with cookies (${tokens})`, async () => {
      const registry = await serve({ tokens, login: 'user:secret', cookies: false });
      const record = await storeImage(local, [layerOf('one'), layerOf('two')]);
      const credentials = () => Promise.resolve({ username: 'user', password: 'secret', source: 'test' });
      await push(record.id, `${registry.host}/a/b:1`, { format: 'v1' }, { credentials });
      expect(registry.images.size).to.equal(2);
      // Once more: each JSON is answered 409.
      const again = await push(record.id, `${registry.host}/a/b:2`, { format: 'v1' }, { credentials });
      expect(again.layers.map(({ state }) => state)).to.deep.equal(['present', 'present']);
      expect([...registry.tags.get('a/b')!.keys()]).to.deep.equal(['1', '2']);
    });
  }

  it('keeps the cookie that a layer was answered with', async () => {
    const registry = await serve({ cookies: true });
    const record = await storeImage(local, [layerOf('one'), layerOf('two')]);
    await push(record.id, `${registry.host}/a/b:1`, { format: 'v1' });
    expect(registry.images.size).to.equal(2);
  });

  it('pushes to every endpoint of the index', async () => {
    const [one, two] = [await serve(), await serve()];
    const index = await serve({ endpoints: () => [one.host, two.host] });
    const record = await storeImage(local, [layerOf('one')]);
    for (const endpoint of [one, two]) endpoint.index.set('a/b', new Set([digestHex(record.id)]));
    await push(record.id, `${index.host}/a/b:1`, { format: 'v1' });
    expect([one, two].map((endpoint) => endpoint.tags.get('a/b')?.get('1'))).to.deep.equal([
      digestHex(record.id),
      digestHex(record.id),
    ]);
    expect(index.images.size).to.equal(0);
    expect(index.requests.at(-1)!.headers['x-docker-endpoints']).to.equal(`${one.host},${two.host}`);
  });

  it('goes to the index that it is sent to', async () => {
    const other = await serve();
    const index = await serve({
      intercept: ({ path, method }, response) => {
        if (method !== 'PUT') return false;
        response.writeHead(302, { location: `http://${other.host}/v1/${path}` }).end();
        return true;
      },
    });
    const record = await storeImage(local, [layerOf('one')]);
    await push(record.id, `${index.host}/a/b:1`, { format: 'v1' });
    expect(other.tags.get('a/b')?.get('1')).to.equal(digestHex(record.id));
    expect(index.paths('PUT')).to.deep.equal(['repositories/a/b/', 'repositories/a/b/images']);
    expect(other.paths('PUT').at(-1)).to.equal('repositories/a/b/images');
  });

  it('says that an index without endpoints takes nothing', async () => {
    const registry = await serve({ endpoints: () => 'none' });
    const record = await storeImage(local, [layerOf('one')]);
    const error = await rejection(push(record.id, `${registry.host}/a/b:1`, { format: 'v1' }));
    expect(error).to.be.instanceOf(RegistryError);
    expect(error.message).to.match(/names no endpoints/);
  });

  it('sends an image again whose layer arrived broken', async () => {
    let broken = false;
    const registry = await serve({
      intercept: ({ path, method }) => {
        const stored = [...registry.images.values()][0];
        if (method === 'PUT' && path.endsWith('/checksum') && !broken && stored?.layer !== undefined) {
          broken = true;
          stored.layer = Buffer.from('damaged on the way');
        }
        return false;
      },
    });
    const record = await storeImage(local, [layerOf('one')]);
    await push(record.id, `${registry.host}/a/b:1`, { format: 'v1' });
    expect(registry.tags.get('a/b')!.get('1')).to.equal(digestHex(record.id));
    expect(uploads(registry)).to.have.length(6);
  });

  it('sends the password first to a registry that asks for it, whatever tokens its index gives', async () => {
    let refused = 0;
    const login = `Basic ${Buffer.from('me:pw').toString('base64')}`;
    const registry = await serve({
      // docker-registry behind a proxy with a login of its own.
      intercept: ({ path, headers }, response) => {
        if (path.startsWith('repositories/')) response.setHeader('x-docker-token', 'signature=1,access=write');
        if (headers.authorization === login || path === '_ping' || path.startsWith('/v2/')) return false;
        refused++;
        response.writeHead(401, { 'www-authenticate': 'Basic realm="proxy"' }).end();
        return true;
      },
    });
    await pushWithLogin(registry);
    expect(refused).to.equal(1);
  });

  it('sends a layer whole that is asked for again with the password', async () => {
    let refused = 0;
    const registry = await serve({
      intercept: ({ path, method, headers }, response) => {
        if (method !== 'PUT' || !path.endsWith('/layer') || headers.authorization !== undefined) return false;
        refused++;
        response.writeHead(401, { 'www-authenticate': 'Basic realm="proxy"' }).end();
        return true;
      },
    });
    await pushWithLogin(registry);
    expect(refused).to.equal(1);
  });

  it('refuses what v1 does not know: digests, formats', async () => {
    const registry = await serve();
    const record = await storeImage(local, [layerOf('one')]);
    const digest = `docker-v1://${registry.host}/a/b@${record.manifest.digest}`;
    expect(await rejection(push(record.id, digest))).to.be.instanceOf(UsageError);
    const oci = push(record.id, `docker-v1://${registry.host}/a/b:1`, { format: 'oci' });
    expect(await rejection(oci)).to.be.instanceOf(UsageError);
  });
});
