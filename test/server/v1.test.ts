import { execFileSync } from 'node:child_process';
import { mkdtemp, rename, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  chainIds,
  digestHex,
  digestOf,
  EMPTY_LAYER,
  MEDIA_TYPE,
  type Digest,
  type DiffId,
} from '../../lib/spec/index.js';
import {
  openDirectoryStorage,
  startRegistryServer,
  type RegistryStorage,
  type TagListener,
} from '../../lib/server/index.js';
import { ImageIndex } from '../../lib/server/v1/image-index.js';
import { V1Images } from '../../lib/server/v1/images.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { writeTar } from '../helpers/tar-writer.js';
import { payloadOf } from '../helpers/v1-registry.js';
import { manifestOf, RegistryFixture, type Answer } from './registry-fixture.js';

const id = (char: string): string => char.repeat(64);
const tarOf = (name: string): Buffer => Buffer.from(writeTar([{ path: name, content: name.repeat(1000) }]));
const parsed = ({ body }: Answer): unknown => JSON.parse(body.toString());

describe('server: protocol v1', () => {
  let registry: RegistryFixture;
  beforeEach(async () => {
    registry = await RegistryFixture.start();
  });
  afterEach(() => registry.stop());

  const get = (path: string, headers = {}): Promise<Answer> => registry.send('GET', `/v1/${path}`, { headers });
  const put = (path: string, body: Buffer | string = '', headers = {}): Promise<Answer> =>
    registry.send('PUT', `/v1/${path}`, { body, headers: { 'content-type': 'application/json', ...headers } });
  const jsonOf = (own: string, parent?: string, more = {}): string =>
    JSON.stringify({ id: own, ...(parent === undefined ? {} : { parent }), ...more });

  /** The PUTs of one image, all of which must succeed. */
  async function pushImage(own: string, layer: Buffer, parent?: string, more = {}): Promise<string> {
    const json = jsonOf(own, parent, more);
    const sum = payloadOf(Buffer.from(json), layer);
    const answers = [
      await put(`images/${own}/json`, json),
      await put(`images/${own}/layer`, layer, { 'transfer-encoding': 'chunked' }),
      await put(`images/${own}/checksum`, '', { 'x-docker-checksum-payload': sum }),
    ];
    expect(answers.map(({ status, body }) => `${status} ${body}`)).to.deep.equal(Array(3).fill('200 true'));
    return json;
  }

  const manifestAt = async (repository: string, tag: string): Promise<Answer> =>
    registry.send('GET', `/v2/${repository}/manifests/${tag}`);

  it('is found, standalone, and lets everybody in', async () => {
    const ping = await get('_ping');
    expect(ping).to.include({ status: 200 });
    expect(ping.headers).to.include({ 'x-docker-registry-standalone': 'True' });
    expect(ping.headers).not.to.have.property('docker-distribution-api-version');
    expect((await get('users/')).status).to.equal(200);
    expect((await registry.send('POST', '/v1/users/', { body: '{}' })).status).to.equal(201);
  });

  it('takes a push step by step, and refuses each step at the wrong time', async () => {
    const [base, top] = [id('a'), id('b')];
    const layer = gzipSync(tarOf('one'));
    const list = JSON.stringify([{ id: base }, { id: top, Tag: '1' }]);
    const index = await put('repositories/a/b/', list, { 'x-docker-token': 'true' });
    expect(index).to.include({ status: 200 });
    expect(index.headers['x-docker-endpoints']).to.equal(registry.server.address);

    const path = `images/${base}`;
    const status = async (answer: Promise<Answer>): Promise<number> => (await answer).status;
    expect(await status(get(`${path}/json`))).to.equal(404);
    expect(await status(put(`${path}/layer`, layer))).to.equal(404);
    expect(await status(put(`images/${top}/json`, jsonOf(top, base)))).to.equal(400);
    const json = jsonOf(base, undefined, { created: '2014-01-01T00:00:00Z', odd: '<&>' });
    expect(await status(put(`${path}/json`, json))).to.equal(200);
    const waiting = await get(`${path}/json`);
    expect(`${waiting.status} ${waiting.body}`).to.equal('400 {"error":"Image is being uploaded, retry later"}');
    expect(await status(put(`repositories/a/b/tags/1`, JSON.stringify(base)))).to.equal(400);
    const sum = { 'x-docker-checksum-payload': payloadOf(Buffer.from(json), layer) };
    expect(await status(put(`${path}/checksum`, '', sum))).to.equal(400);
    expect(await status(put(`${path}/layer`, layer))).to.equal(200);
    expect(await status(put(`${path}/checksum`))).to.equal(412);
    const wrong = { 'x-docker-checksum-payload': digestOf('x') };
    expect(await status(put(`${path}/checksum`, '', wrong))).to.equal(400);
    expect(await status(put(`${path}/checksum`, '', sum))).to.equal(200);

    expect(await status(put(`${path}/json`, json))).to.equal(409);
    expect(await status(put(`${path}/layer`, layer))).to.equal(409);
    expect(await status(put(`${path}/checksum`, '', sum))).to.equal(409);
    const got = await get(`${path}/json`);
    expect(got.body.toString()).to.equal(json);
    expect(got.headers).to.include({ 'x-docker-size': String(layer.length), ...sum });

    await pushImage(top, layer, base);
    expect(await status(get('repositories/a/b/tags'))).to.equal(404);
    expect(await status(put('repositories/a/b/tags/1', JSON.stringify(top)))).to.equal(200);
    expect(await status(put('repositories/a/b/tags/1', JSON.stringify(id('c'))))).to.equal(404);
    expect(await status(put('repositories/a/b/images', '[]'))).to.equal(204);
    expect(parsed(await get('repositories/a/b/tags'))).to.deep.equal({ 1: top });
    expect(parsed(await get('repositories/a/b/tags/1'))).to.equal(top);
    expect(parsed(await get(`images/${top}/ancestry`))).to.deep.equal([top, base]);
    const images = parsed(await get('repositories/a/b/images')) as { id: string; Tag?: string; checksum: string }[];
    expect(images.map(({ id, Tag }) => [id, Tag])).to.deep.equal([
      [base, undefined],
      [top, '1'],
    ]);
    expect(images[0]!.checksum).to.equal(sum['x-docker-checksum-payload']);
  });

  it('gives layers as they came, whole or in part', async () => {
    const layer = gzipSync(tarOf('one'));
    await pushImage(id('a'), layer);
    const path = `images/${id('a')}/layer`;
    const whole = await get(path);
    expect(whole.body.equals(layer)).to.equal(true);
    expect(whole.headers).to.include({ 'accept-ranges': 'bytes' });
    const part = await get(path, { range: `bytes=10-${layer.length - 1}` });
    expect(part.status).to.equal(206);
    expect(part.body.equals(layer.subarray(10))).to.equal(true);
    expect((await get(path, { range: `bytes=10-${layer.length}` })).body.equals(layer.subarray(10))).to.equal(true);
    const one = await get(path, { range: `bytes=${layer.length - 1}-${layer.length - 1}` });
    expect([one.status, one.body.length]).to.deep.equal([206, 1]);
    expect((await get(path, { range: `bytes=${layer.length}-` })).status).to.equal(416);
    expect((await registry.send('HEAD', `/v1/${path}`)).headers['content-length']).to.equal(String(layer.length));
  });

  it('what was pushed over v1 is an image of today over v2, and skopeo reads it', async () => {
    const tars = [tarOf('one'), tarOf('two')] as const;
    const layers = [gzipSync(tars[0]), tars[1]] as const;
    await pushImage(id('a'), layers[0], undefined, { container_config: { Cmd: ['add', 'one'] } });
    await pushImage(id('b'), layers[1], id('a'), { config: { Env: ['A=b'] }, author: 'me' });
    await put('repositories/a/b/tags/1', JSON.stringify(id('b')));
    const manifest = parsed(await manifestAt('a/b', '1')) as {
      config: { digest: string };
      layers: { digest: string; mediaType: string }[];
    };
    expect(manifest.layers.map(({ digest, mediaType }) => [digest, mediaType])).to.deep.equal([
      [digestOf(layers[0]), MEDIA_TYPE.ociLayerGzip],
      [digestOf(layers[1]), MEDIA_TYPE.ociLayer],
    ]);
    const config = parsed(await registry.send('GET', `/v2/a/b/blobs/${manifest.config.digest}`));
    expect(config).to.deep.equal({
      architecture: 'amd64',
      os: 'linux',
      author: 'me',
      config: { Env: ['A=b'] },
      history: [{ created_by: 'add one' }, { author: 'me' }],
      rootfs: { type: 'layers', diff_ids: tars.map((tar) => digestOf(tar)) },
    });
    const directory = await mkdtemp(join(tmpdir(), 'imgtool-v1-'));
    try {
      await skopeoCopy(`docker://${registry.server.address}/a/b:1`, `oci:${directory}/layout:1`);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
    // The same again after a restart, and the old IDs with it.
    const before = await manifestAt('a/b', '1');
    await registry.restart();
    expect((await manifestAt('a/b', '1')).body.equals(before.body)).to.equal(true);
    expect(parsed(await get('repositories/a/b/tags/1'))).to.equal(id('b'));
    expect(parsed(await get(`images/${id('b')}/ancestry`))).to.deep.equal([id('b'), id('a')]);
  });

  /** An image of two layers, pushed over v2. */
  async function pushV2(
    repository: string,
    tag: string,
    Cmd = ['sh'],
  ): Promise<{ layers: Buffer[]; ids: string[]; config: Buffer }> {
    const tars = [tarOf('one'), tarOf('two')];
    const layers = tars.map((tar) => gzipSync(tar));
    const diffIds = tars.map((tar) => digestOf(tar) as DiffId);
    const config = Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        config: { Cmd },
        rootfs: { type: 'layers', diff_ids: diffIds },
        history: [{ created_by: 'x' }, { created_by: 'y' }],
      }),
    );
    const bytes = manifestOf({
      config: await registry.pushBlob(repository, config),
      layers: await Promise.all(
        layers.map(async (layer) => ({
          ...(await registry.pushBlob(repository, layer)),
          mediaType: MEDIA_TYPE.ociLayerGzip,
        })),
      ),
    });
    expect((await registry.putManifest(repository, tag, bytes)).status).to.equal(201);
    return { layers, ids: [digestHex(chainIds(diffIds)[0]!), digestHex(digestOf(config))], config };
  }

  it('what was pushed over v2 is readable over v1, under the IDs that Docker gives it', async () => {
    const { layers, ids } = await pushV2('team/app', '2');
    const [base, top] = ids as [string, string];
    // By ID first: nobody has asked for the repository yet.
    expect(parsed(await get(`images/${base}/json`))).to.deep.equal({ id: base });
    expect(parsed(await get('repositories/team/app/tags'))).to.deep.equal({ 2: top });
    expect(parsed(await get(`images/${top}/ancestry`))).to.deep.equal([top, base]);
    expect(parsed(await get(`images/${top}/json`))).to.deep.equal({
      architecture: 'amd64',
      config: { Cmd: ['sh'] },
      id: top,
      os: 'linux',
      parent: base,
    });
    for (const [i, own] of ids.entries())
      expect((await get(`images/${own}/layer`)).body.equals(layers[i]!)).to.equal(true);
    expect((await put(`images/${base}/json`, jsonOf(base))).status).to.equal(409);
  });

  describe('looked up by ID', () => {
    const pushTags = async (count: number): Promise<string[]> => {
      const tops: string[] = [];
      for (let i = 0; i < count; i++) tops.push((await pushV2(i % 2 === 0 ? 'a/b' : 'c', `${i}`, [`${i}`])).ids[1]!);
      return tops;
    };
    const status = async (own: string): Promise<number> => (await get(`images/${own}/json`)).status;
    const base = digestHex(digestOf(tarOf('one')));

    it('what is unknown costs nothing once the tags were read, and new tags are known without reading the others', async () => {
      await pushTags(6);
      const storage = await openDirectoryStorage({ dir: registry.dir, readOnly: true });
      let reads = 0;
      let tell: TagListener | undefined;
      const counted: RegistryStorage = {
        ...{ repositories: () => storage.repositories(), tags: (name) => (reads++, storage.tags(name)) },
        findManifest: (name, key) => (reads++, storage.findManifest(name, key)),
        openBlob: (name, digest) => storage.openBlob(name, digest),
        statBlob: (name, digest) => storage.statBlob(name, digest),
        tagDigest: (name, tag) => (reads++, storage.tagDigest(name, tag)),
        hasManifest: (name, digest) => storage.hasManifest(name, digest),
        async *referrers() {},
        onTag: (listener) => void (tell = listener),
        close: () => storage.close(),
      };
      const images = new V1Images(counted);
      const cost = async (own: string): Promise<[found: boolean, reads: number]> => {
        const before = reads;
        return [(await images.find(own)) !== undefined, reads - before];
      };
      expect((await cost(id('0')))[0]).to.equal(false);
      // As many at once as a client asks for.
      expect(await Promise.all(['1', '2', '3'].map((char) => cost(id(char))))).to.deep.equal(Array(3).fill([false, 0]));
      expect(await cost(base)).to.deep.equal([true, 1]);
      const { ids } = await pushV2('c', 'new', ['new']);
      tell!('c', (await storage.findManifest('c', { tag: 'new' }))!);
      // Once to know it, once to compose it.
      expect(await cost(ids[1]!)).to.deep.equal([true, 2]);
      expect(await cost(id('4'))).to.deep.equal([false, 0]);
      await images.tags('c');
      await counted.close();
    });

    it('a layer of many images is there until the last of them is deleted, and after a restart', async () => {
      const tops = await pushTags(7);
      // Those that are read first go first.
      for (const i of [0, 2, 4, 6, 1, 3, 5]) {
        const top = tops[i]!;
        if (i === 3) await registry.restart();
        expect(await Promise.all([base, top].map(status)), `${i}`).to.deep.equal([200, 200]);
        const repository = i % 2 === 0 ? 'a/b' : 'c';
        const digest = (await manifestAt(repository, `${i}`)).headers['docker-content-digest'] as string;
        await registry.send('DELETE', `/v2/${repository}/manifests/${digest}`);
        expect(await status(top)).to.equal(404);
      }
      expect(await status(base)).to.equal(404);
      await pushTags(1);
      expect(await Promise.all([base, tops[0]!].map(status))).to.deep.equal([200, 200]);
    });

    it('a server that only reads sees what another has pushed', async () => {
      const tops = await pushTags(2);
      const past = new Date(Date.now() - 60_000);
      for (const name of ['a/b', 'c']) await utimes(join(registry.dir, 'repositories', name, '_tags'), past, past);
      const reader = await startRegistryServer({ dir: registry.dir, readOnly: true });
      try {
        const seen = async (own: string): Promise<number> =>
          (await fetch(`${reader.url}/v1/images/${own}/json`)).status;
        const config = join(registry.dir, 'repositories/c/_blobs/sha256', tops[1]!);
        await rename(config, `${registry.dir}/hidden`);
        expect(await Promise.all([seen(base), seen(id('0')), seen(tops[1]!)])).to.deep.equal([200, 404, 404]);
        await rename(`${registry.dir}/hidden`, config);
        expect(await seen(tops[1]!)).to.equal(200);
        for (const [name, tag] of [
          ['d', '1'],
          ['c', '1'],
        ] as const) {
          const { ids } = await pushV2(name, tag, ['late', name]);
          expect(await seen(ids[1]!), name).to.equal(200);
        }
      } finally {
        await reader.close();
      }
    });

    it('more images than are held in memory are found all the same', async () => {
      const tops = await pushTags(3);
      const storage = await openDirectoryStorage({ dir: registry.dir, readOnly: true });
      const index = new ImageIndex(storage, { maxIds: 3 });
      for (const own of [...tops, base]) {
        const found: string[] = [];
        for await (const place of index.find(own)) found.push(place.top);
        expect(found, own).to.include(own === base ? tops[0] : own);
      }
      for await (const _ of index.find(id('0'))) expect.fail('found what is not there');
      await storage.close();
    });
  });

  it('an image of today tagged over v1 keeps its digest, in another repository too', async () => {
    const { ids } = await pushV2('team/app', '2');
    const before = await manifestAt('team/app', '2');
    for (const [repository, tag] of [
      ['team/app', 'again'],
      ['team/other', '1'],
    ] as const) {
      expect((await put(`repositories/${repository}/tags/${tag}`, JSON.stringify(ids[1]))).status).to.equal(200);
      expect((await manifestAt(repository, tag)).body.equals(before.body)).to.equal(true);
    }
    await skopeoCopy(`docker://${registry.server.address}/team/other:1`, `dir:${registry.dir}-copy`);
    await rm(`${registry.dir}-copy`, { recursive: true });
  });

  it('a commit on an image of today brings the new layer only', async () => {
    const { ids, layers } = await pushV2('team/app', '2');
    const layer = gzipSync(tarOf('three'));
    await pushImage(id('e'), layer, ids[1]);
    expect((await put('repositories/team/app/tags/3', JSON.stringify(id('e')))).status).to.equal(200);
    const manifest = parsed(await manifestAt('team/app', '3')) as { layers: { digest: string }[] };
    expect(manifest.layers.map(({ digest }) => digest)).to.deep.equal([...layers, layer].map((b) => digestOf(b)));
    expect(parsed(await get(`images/${id('e')}/ancestry`))).to.deep.equal([id('e'), ...ids.toReversed()]);
    expect(parsed(await get('repositories/team/app/tags'))).to.deep.equal({ 2: ids[1], 3: id('e') });
  });

  it('a layer of every compression', async () => {
    const tar = tarOf('any');
    const packed: Record<string, { bytes: Buffer; kept: boolean }> = {
      1: { bytes: gzipSync(tar), kept: true },
      2: { bytes: execFileSync('zstd', ['-q', '-c'], { input: tar }), kept: true },
      3: { bytes: tar, kept: true },
      4: { bytes: execFileSync('xz', ['-c'], { input: tar }), kept: false },
      5: { bytes: execFileSync('bzip2', ['-c'], { input: tar }), kept: false },
      6: { bytes: Buffer.alloc(0), kept: false },
    };
    let parent: string | undefined;
    for (const [char, { bytes }] of Object.entries(packed)) {
      await pushImage(id(char), bytes, parent);
      expect((await get(`images/${id(char)}/layer`)).body.equals(bytes), char).to.equal(true);
      parent = id(char);
    }
    expect((await put('repositories/a/b/tags/all', JSON.stringify(parent))).status).to.equal(200);
    const manifest = parsed(await manifestAt('a/b', 'all')) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    Object.values(packed).forEach(({ bytes, kept }, i) =>
      expect(manifest.layers[i]!.digest === digestOf(bytes), `layer ${i + 1}`).to.equal(kept),
    );
    const config = parsed(await registry.send('GET', `/v2/a/b/blobs/${manifest.config.digest}`)) as {
      rootfs: { diff_ids: string[] };
    };
    expect(config.rootfs.diff_ids).to.deep.equal([
      ...Array<string>(5).fill(digestOf(tar)),
      digestOf(Buffer.alloc(1024)),
    ]);
    expect(manifest.layers[5]!.digest).to.equal(digestOf(EMPTY_LAYER));
    const directory = `${registry.dir}-all`;
    await run('skopeo', [
      ...['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', '--dest-decompress'],
      ...[`docker://${registry.server.address}/a/b:all`, `dir:${directory}`],
    ]);
    await rm(directory, { recursive: true });
  });

  it('a corrupt layer is refused, and can be sent again', async () => {
    const [own, layer] = [id('a'), gzipSync(tarOf('one'))];
    const json = jsonOf(own);
    await put(`images/${own}/json`, json);
    expect((await put(`images/${own}/layer`, layer.subarray(0, layer.length - 20))).status).to.equal(400);
    expect((await put(`images/${own}/layer`, layer)).status).to.equal(200);
    // Begun anew with another JSON: the layer is to be sent again.
    const other = jsonOf(own, undefined, { comment: 'other' });
    await put(`images/${own}/json`, other);
    const sum = payloadOf(Buffer.from(other), layer);
    expect((await put(`images/${own}/checksum`, '', { 'x-docker-checksum-payload': sum })).status).to.equal(400);
    await pushImage(own, layer);
    expect((await registry.files()).filter((file) => file.startsWith('tmp/'))).to.deep.equal([]);
  });

  it('an image that nobody goes on with is removed, a complete one stays', async () => {
    await pushImage(id('a'), gzipSync(tarOf('one')));
    await put(`images/${id('b')}/json`, jsonOf(id('b'), id('a')));
    await registry.restart({ uploadExpiryMs: 1 });
    const gone = async (): Promise<boolean> => (await get(`images/${id('b')}/json`)).status === 404;
    for (const deadline = Date.now() + 60_000; !(await gone()) && Date.now() < deadline;);
    expect(await gone()).to.equal(true);
    expect((await get(`images/${id('a')}/layer`)).status).to.equal(200);
  });

  it('an image that was begun anew between the look at its checksum and its end is not complete', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'imgtool-v1-'));
    const storage = await openDirectoryStorage({ dir });
    const [own, layer] = [id('a'), gzipSync(tarOf('one'))];
    const { writer, find } = { writer: storage.v1!.writer!, find: () => storage.v1!.find(own) };
    const json = (comment: string): Buffer => Buffer.from(jsonOf(own, undefined, { comment }));
    const begin = async (comment: string): Promise<Digest> => {
      await writer.begin(own, json(comment));
      await writer.putLayer(own, Readable.from([layer]));
      return (await find())!.layer!.payloadChecksum;
    };
    const first = await begin('one');
    await writer.begin(own, json('two'));
    expect(await writer.complete(own, first)).to.equal(false);
    const second = await begin('two');
    expect(await writer.complete(own, first)).to.equal(false);
    expect((await find())!.complete).to.equal(false);
    expect(await writer.complete(own, second)).to.equal(true);
    expect(await writer.complete(own, second)).to.equal(false);
    await storage.close();
    await rm(dir, { recursive: true });
  });

  it('an image of today that is deleted is gone over v1 too, unless another repository has it', async () => {
    const { ids } = await pushV2('team/app', '2');
    await pushV2('team/copy', '2');
    const [base] = ids as [string, string];
    const remove = async (repository: string): Promise<void> => {
      const digest = (await manifestAt(repository, '2')).headers['docker-content-digest'] as string;
      expect((await registry.send('DELETE', `/v2/${repository}/manifests/${digest}`)).status).to.equal(202);
    };
    for (const repository of ['team/app', 'team/copy']) {
      expect((await get(`images/${base}/layer`)).status).to.equal(200);
      await remove(repository);
    }
    expect((await get(`images/${base}/json`)).status).to.equal(404);
    await pushImage(base, gzipSync(tarOf('other')));
  });

  it('a name of one part is the same with library/ before it', async () => {
    await pushImage(id('a'), gzipSync(tarOf('one')));
    await put('repositories/library/app/tags/1', JSON.stringify(id('a')));
    for (const name of ['app', 'library/app'])
      expect(parsed(await get(`repositories/${name}/tags/1`))).to.equal(id('a'));
    expect((await manifestAt('app', '1')).status).to.equal(200);
  });

  it('finds repositories by a part of their name', async () => {
    await pushV2('team/app', '2');
    await pushV2('team/tool', '2');
    const found = parsed(await get('search?q=APP')) as { num_results: number; results: { name: string }[] };
    expect(found).to.include({ query: 'APP', num_results: 1 });
    expect(found.results.map(({ name }) => name)).to.deep.equal(['team/app']);
    const second = parsed(await get('search?q=team&n=1&page=2')) as { results: { name: string }[]; num_pages: number };
    expect([second.num_pages, second.results.map(({ name }) => name)]).to.deep.equal([2, ['team/tool']]);
  });

  it('removes a tag, then the repository; images stay', async () => {
    await pushImage(id('a'), gzipSync(tarOf('one')));
    for (const tag of ['1', '2']) await put(`repositories/a/b/tags/${tag}`, JSON.stringify(id('a')));
    const remove = async (path: string): Promise<number> => (await registry.send('DELETE', `/v1/${path}`)).status;
    expect(await remove('repositories/a/b/tags/1')).to.equal(200);
    expect(await remove('repositories/a/b/tags/1')).to.equal(404);
    expect(await remove('repositories/a/b/images')).to.equal(204);
    expect(await remove('repositories/a/b/')).to.equal(200);
    expect((await get('repositories/a/b/tags')).status).to.equal(404);
    expect((await get(`images/${id('a')}/json`)).status).to.equal(200);
  });

  it('a registry that is read-only shows all and takes nothing', async () => {
    await pushImage(id('a'), gzipSync(tarOf('one')));
    await put('repositories/a/b/tags/1', JSON.stringify(id('a')));
    await registry.restart({ readOnly: true });
    expect(parsed(await get('repositories/a/b/tags/1'))).to.equal(id('a'));
    const tries = [
      put('repositories/a/b/', '[]'),
      put(`images/${id('b')}/json`, jsonOf(id('b'))),
      put('repositories/a/b/tags/2', JSON.stringify(id('a'))),
      registry.send('DELETE', '/v1/repositories/a/b/'),
    ];
    expect((await Promise.all(tries)).map(({ status }) => status)).to.deep.equal(Array(4).fill(405));
  });

  it('gives a token to a client that asks for one, as docker 0.6 to 1.6 do, and wants none', async () => {
    const { headers } = await put('repositories/a/b/', '[]', { 'x-docker-token': 'true' });
    expect(headers['x-docker-token']).to.match(/^Token signature=[0-9a-f]{32},repository="a\/b",access=write$/);
    const other = { authorization: 'Token signature=0,repository="x",access=read' };
    expect((await put(`images/${id('a')}/json`, jsonOf(id('a')), other)).status).to.equal(200);
  });

  it('in token mode the registry half wants what the index half gives, for one repository and one kind of access', async () => {
    await registry.restart({ v1Tokens: true });
    const ask = { 'x-docker-token': 'true' };
    const tokenOf = ({ headers }: Answer): { authorization: string } => {
      expect(headers['www-authenticate']).to.equal(headers['x-docker-token']);
      return { authorization: `Token ${String(headers['x-docker-token'])}` };
    };
    const [own, layer] = [id('a'), gzipSync(tarOf('one'))];
    const json = jsonOf(own);
    const none = await put(`images/${own}/json`, json);
    expect([none.status, none.headers['www-authenticate']]).to.deep.equal([401, 'Token']);
    expect((await put('repositories/a/b/', '[]')).headers).not.to.have.property('x-docker-token');
    const write = tokenOf(await put('repositories/a/b/', JSON.stringify([{ id: own }]), ask));
    // A probe with a token to write is refused, not answered with 404.
    expect((await get(`images/${own}/json`, write)).status).to.equal(401);
    const other = await put(`images/${id('b')}/json`, jsonOf(id('b')), write);
    expect(`${other.status} ${other.body}`).to.equal('400 {"error":"This image does not belong to the repository"}');
    const sum = { 'x-docker-checksum-payload': payloadOf(Buffer.from(json), layer) };
    const pushed = [
      await put(`images/${own}/json`, json, write),
      await put(`images/${own}/layer`, layer, write),
      await put(`images/${own}/checksum`, '', { ...sum, ...write }),
      await put('repositories/a/b/tags/1', JSON.stringify(own), write),
    ];
    expect(pushed.map(({ status }) => status)).to.deep.equal(Array(4).fill(200));
    expect((await put('repositories/a/other/tags/1', JSON.stringify(own), write)).status).to.equal(401);
    const read = tokenOf(await get('repositories/a/b/images', ask));
    expect(parsed(await get('repositories/a/b/tags/1', read))).to.equal(own);
    expect((await registry.send('HEAD', `/v1/images/${own}/json`, { headers: read })).status).to.equal(401);
    expect((await registry.send('DELETE', '/v1/repositories/a/b/', { headers: write })).status).to.equal(401);
    const remove = tokenOf(await registry.send('DELETE', '/v1/repositories/a/b/images', { headers: ask }));
    expect((await registry.send('DELETE', '/v1/repositories/a/b/', { headers: remove })).status).to.equal(200);
    // A signature of one token with the claims of another.
    const forged = { authorization: write.authorization.replace('access=write', 'access=read') };
    expect((await get(`images/${own}/json`, forged)).status).to.equal(401);
  });

  describe('refuses', () => {
    const cases: [name: string, method: string, path: string, body: string, status: number][] = [
      ['an ID that is a path', 'GET', 'images/..%2f..%2fregistry.json/json', '', 404],
      ['an ID in upper case', 'GET', `images/${'A'.repeat(64)}/json`, '', 404],
      ['an ID in the body that is another', 'PUT', `images/${id('a')}/json`, jsonOf(id('b')), 400],
      ['an image without ID', 'PUT', `images/${id('a')}/json`, '{}', 400],
      ['an image that is its own parent', 'PUT', `images/${id('a')}/json`, jsonOf(id('a'), id('a')), 400],
      ['JSON that is none', 'PUT', `images/${id('a')}/json`, '{', 400],
      ['a list of images that is none', 'PUT', 'repositories/a/b/', '{}', 400],
      ['a tag that is a path', 'PUT', 'repositories/a/b/tags/..%2f..%2fx', '"x"', 400],
      ['a tag that leads to no ID', 'PUT', 'repositories/a/b/tags/1', '"../x"', 400],
      ['a repository that is a path', 'GET', 'repositories/../../x/tags', '', 400],
      ['what is no endpoint', 'GET', 'nothing', '', 404],
      ['a method that is none', 'POST', `images/${id('a')}/json`, '', 405],
    ];
    for (const [name, method, path, body, status] of cases)
      it(name, async () => {
        const answer = await registry.send(method, `/v1/${path}`, { body });
        expect(answer.status).to.equal(status);
        expect(Object.keys(parsed(answer) as object)).to.deep.equal(['error']);
        expect(await registry.files()).to.deep.equal(['registry.json']);
      });
  });
});
