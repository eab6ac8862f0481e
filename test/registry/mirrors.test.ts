import { buffer } from 'node:stream/consumers';
import { mock } from 'node:test';
import { expect } from 'chai';
import { NotFoundError, TransportError } from '../../lib/errors.js';
import {
  createRegistryClient,
  type BlobSource,
  type RegistryClient,
  type RegistryClientOptions,
  type RepositoryReader,
} from '../../lib/registry/index.js';
import { digestOf, MEDIA_TYPE } from '../../lib/spec/index.js';
import { freePort } from '../helpers/docker-registry.js';
import { rejection } from '../helpers/rejection.js';
import { startScript, type ScriptedServer, type Step } from '../helpers/scripted-registry.js';

const { signal } = new AbortController();
const MANIFEST = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: {}, layers: [] }),
);
const DIGEST = digestOf(MANIFEST);
const BLOB = Buffer.from('blob');
const manifest = (path: string, times = 1): Step => ({
  method: 'GET',
  path,
  times,
  reply: { headers: { 'content-type': MEDIA_TYPE.ociManifest }, body: MANIFEST },
});
const missing = (path: string): Step => ({ method: 'GET', path, reply: { status: 404 } });

describe('mirrors of a registry', () => {
  let mirror: ScriptedServer;
  let origin: ScriptedServer;
  let client: RegistryClient;
  let warnings: string[];
  beforeEach(async () => {
    [mirror, origin] = await Promise.all([startScript(), startScript()]);
    warnings = [];
  });
  afterEach(async () => {
    await client.close();
    await Promise.all([mirror.close(), origin.close()]);
    mirror.verify();
    origin.verify();
  });
  function open(
    at: string,
    more: RegistryClientOptions = {},
    only?: 'digest' | 'tag',
  ): ReturnType<RegistryClient['open']> {
    client = createRegistryClient({
      retries: 0,
      warn: (line) => warnings.push(line),
      sources: (host, repository) => [
        { host: at, repository: `cache/${repository}`, ...(only === undefined ? {} : { only }) },
        { host, repository },
      ],
      ...more,
    });
    return client.open({ host: origin.host, repository: 'a/b' }, { signal });
  }

  it('reads from the mirror under its own name, and goes by that of the source', async () => {
    mirror.add(manifest('/v2/cache/a/b/manifests/1'));
    mirror.add({ method: 'GET', path: `/v2/cache/a/b/blobs/${digestOf(BLOB)}`, reply: { body: BLOB } });
    const reader = await open(mirror.host);
    expect([reader.host, reader.repository]).to.deep.equal([origin.host, 'a/b']);
    expect((await reader.manifest({ tag: '1' }, { signal })).descriptor.digest).to.equal(DIGEST);
    const blob = reader.blob({ mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(BLOB), size: BLOB.length });
    expect((await buffer((await blob.open({ signal })).body)).equals(BLOB)).to.equal(true);
    expect([origin.requests.length, warnings]).to.deep.equal([0, []]);
  });

  it('passes over a mirror that lacks something, each time anew', async () => {
    mirror.add(missing('/v2/cache/a/b/manifests/1'), manifest('/v2/cache/a/b/manifests/2'));
    origin.add(manifest('/v2/a/b/manifests/1'));
    const reader = await open(mirror.host);
    for (const tag of ['1', '2']) await reader.manifest({ tag }, { signal });
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/^warning: mirror 127\.0\.0\.1:\d+: .*; trying the next source$/);
  });

  it('asks a mirror that cannot be reached once', async () => {
    origin.add(manifest('/v2/a/b/manifests/1', 2));
    const reader = await open(`127.0.0.1:${await freePort()}`);
    for (let i = 0; i < 2; i++) await reader.manifest({ tag: '1' }, { signal });
    expect(warnings).to.have.length(1);
  });

  it('asks a mirror that could not be reached again after a minute', async () => {
    mirror.add(
      // A connection that breaks without an answer is tried once more.
      { method: 'GET', path: '/v2/cache/a/b/manifests/1', reply: { reset: true }, times: 2 },
      manifest('/v2/cache/a/b/manifests/1'),
    );
    origin.add(manifest('/v2/a/b/manifests/1', 2));
    const reader = await open(mirror.host);
    const ask = async (): Promise<void> => void (await reader.manifest({ tag: '1' }, { signal }));
    await ask();
    let later = 50_000;
    const now = performance.now.bind(performance);
    const clock = mock.method(performance, 'now', () => now() + later);
    try {
      await ask();
      expect([mirror.requests.length, origin.requests.length]).to.deep.equal([2, 2]);
      later = 60_000;
      await ask();
      expect([mirror.requests.length, origin.requests.length]).to.deep.equal([3, 2]);
    } finally {
      clock.mock.restore();
    }
  });

  describe('a mirror that opens a blob and', () => {
    const blobAt = (repository: string, bytes = BLOB): string => `/v2/${repository}/blobs/${digestOf(bytes)}`;
    const blobOf = (reader: RepositoryReader, bytes = BLOB): BlobSource =>
      reader.blob({ mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(bytes), size: bytes.length });

    it('breaks off is not asked for it again', async () => {
      mirror.add({ method: 'GET', path: blobAt('cache/a/b'), reply: { body: BLOB, cutAt: 2 } });
      origin.add({
        method: 'GET',
        path: blobAt('a/b'),
        reply: { status: 206, headers: { 'content-range': 'bytes 2-3/4' }, body: BLOB.subarray(2) },
      });
      const blob = blobOf(await open(mirror.host));
      const { body } = await blob.open({ signal });
      expect(await rejection(buffer(body))).to.be.instanceOf(TransportError);
      expect(await buffer((await blob.open({ signal, offset: 2 })).body)).to.deep.equal(BLOB.subarray(2));
      expect(warnings).to.have.length(1);
    });

    it('gives other bytes is not asked for it again, but for another one', async () => {
      const other = Buffer.from('other');
      mirror.add({ method: 'GET', path: blobAt('cache/a/b'), reply: { body: 'blub' } });
      mirror.add({ method: 'GET', path: blobAt('cache/a/b', other), reply: { body: other } });
      origin.add({ method: 'GET', path: blobAt('a/b'), reply: { body: BLOB } });
      const reader = await open(mirror.host);
      const blob = blobOf(reader);
      const read = async (source: BlobSource): Promise<string> =>
        (await buffer((await source.open({ signal, offset: 0 })).body)).toString();
      const got = [await read(blob), await read(blob), await read(blobOf(reader, other))];
      expect(got).to.deep.equal(['blub', 'blob', 'other']);
      expect(warnings).to.have.length(1);
    });
  });

  it('throws the error of the source when all fail', async () => {
    mirror.add(missing('/v2/cache/a/b/manifests/1'));
    origin.add(missing('/v2/a/b/manifests/1'));
    const error = await rejection((await open(mirror.host)).manifest({ tag: '1' }, { signal }));
    expect(error).to.be.instanceOf(NotFoundError);
    expect(error.message).to.include(`${origin.host}/a/b:1`);
  });

  it('asks a mirror for digests only, where that was said', async () => {
    mirror.add(manifest(`/v2/cache/a/b/manifests/${DIGEST}`));
    origin.add(manifest('/v2/a/b/manifests/1'));
    const reader = await open(mirror.host, {}, 'digest');
    for (const reference of [{ tag: '1' }, { digest: DIGEST }]) await reader.manifest(reference, { signal });
  });

  it('lists tags at the source', async () => {
    origin.add({ method: 'GET', path: '/v2/a/b/tags/list?n=1000', reply: { body: '{"tags":["1"]}' } });
    const tags: string[] = [];
    for await (const tag of (await open(mirror.host)).tags({ signal })) tags.push(tag);
    expect(tags).to.deep.equal(['1']);
  });

  it("gives nobody another one's password", async () => {
    const challenge = { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
    const login = (user: string): string => `Basic ${Buffer.from(`${user}:pw`).toString('base64')}`;
    const path = '/v2/cache/a/b/manifests/1';
    mirror.add(
      { method: 'GET', path, reply: challenge, expect: { authorization: undefined } },
      { method: 'GET', path, reply: { status: 404 }, expect: { authorization: login('mirror') } },
    );
    origin.add(
      { method: 'GET', path: '/v2/a/b/manifests/1', reply: challenge, expect: { authorization: undefined } },
      { ...manifest('/v2/a/b/manifests/1'), expect: { authorization: login('origin') } },
    );
    const credentials = (host: string): Promise<{ username: string; password: string; source: string }> =>
      Promise.resolve({ username: host === mirror.host ? 'mirror' : 'origin', password: 'pw', source: 'test' });
    await (await open(mirror.host, { credentials })).manifest({ tag: '1' }, { signal });
  });
});
