import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { createContentStore, type ContentStore } from '../../lib/content/index.js';
import {
  DigestMismatchError,
  InvalidReferenceError,
  NotFoundError,
  RegistryError,
  TransportError,
  UnsupportedMediaTypeError,
} from '../../lib/errors.js';
import { packLayer, recompressLayer } from '../../lib/layer/index.js';
import { createMetadataStore, type ImageRecord, type MetadataStore } from '../../lib/metadata/index.js';
import { planPush, pushImage, type PushRequest, type PushResult } from '../../lib/operations/index.js';
import type { ProgressEvent } from '../../lib/progress/index.js';
import type { RegistryClientOptions } from '../../lib/registry/index.js';
import { startRegistryServer, type RunningServer } from '../../lib/server/index.js';
import { changes, createSnapshotter } from '../../lib/snapshot/index.js';
import { digestOf, MEDIA_TYPE, parseManifest, type ImageManifest } from '../../lib/spec/index.js';
import { startCuttingProxy, type CuttingProxy } from '../helpers/cutting-proxy.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { startFlakyProxy } from '../helpers/flaky-proxy.js';
import { rejection } from '../helpers/rejection.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { storeImage } from '../helpers/stored-image.js';
import { writeTar } from '../helpers/tar-writer.js';
import { zstdDecompress } from '../helpers/zstd.js';

const never = new AbortController().signal;
const MiB = 2 ** 20;

describe('operations/push', () => {
  const suite = scriptedSuite();
  let registry: DockerRegistry;
  let root: string;
  let content: ContentStore;
  let metadata: MetadataStore;
  let events: ProgressEvent[];
  let notes: string[];
  before(async () => {
    registry = await startDockerRegistry();
  });
  after(() => registry.stop());
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'imgtool-push-'));
    for (const name of ['images', 'layers', 'containers', 'uploads', 'locks']) await mkdir(join(root, name));
    [content, metadata, events, notes] = [createContentStore({ root }), createMetadataStore({ root }), [], []];
    await registry.forget();
  });
  afterEach(() => rm(root, { recursive: true }));

  const layer = (size = 1000): Buffer => gzipSync(randomBytes(size));
  const deps = (options: RegistryClientOptions = {}): Parameters<typeof pushImage>[0] => ({
    content,
    metadata,
    registry: suite.client(options),
    // No layer is unpacked: what is packed anew is tested with a real store.
    snapshots: createSnapshotter({ root }),
    compareTrees: changes,
    packLayer,
    recompressLayer,
    progress: { event: (event) => void events.push(event), note: (line) => void notes.push(line) },
  });
  const request = (record: ImageRecord, repository: string, more: Partial<PushRequest> = {}): PushRequest => ({
    record,
    reference: { host: registry.host, repository, tag: '1' },
    tags: [],
    signal: never,
    ...more,
  });
  const fresh = async (record: ImageRecord): Promise<ImageRecord> => (await metadata.images.find(record)) ?? record;
  const states = ({ layers }: Pick<PushResult, 'layers'>): string[] => layers.map(({ state }) => state);
  /** Method and kind of each request the registry saw. */
  const seen = async (): Promise<string[]> =>
    (await registry.requests()).map(({ method, uri }) => {
      const kind = /\/(blobs\/uploads|blobs|manifests)\//.exec(uri)?.[1] ?? uri;
      return `${method} ${kind}${/[?&]mount=/.test(uri) ? ' mount' : ''}`;
    });
  const digestOfTag = async (repository: string, tag: string): Promise<string> => {
    const reader = await suite.client().open({ host: registry.host, repository }, { signal: never });
    return (await reader.resolve({ tag }, { signal: never })).digest;
  };

  it('sends each blob once, then the manifest as it is, and remembers where it is now', async () => {
    const twice = layer();
    const record = await storeImage({ content, metadata }, [layer(), twice, layer(), twice]);
    const result = await pushImage(deps(), request(record, 'new/one'));
    expect(result).to.include({ id: record.id, digest: record.manifest.digest, name: `${registry.host}/new/one:1` });
    expect(states(result)).to.deep.equal(['uploaded', 'uploaded', 'uploaded', 'uploaded']);
    const blobs = [...new Map([...record.layers, record.config].map((blob) => [blob.digest, blob])).values()];
    expect(result.bytes).to.equal(blobs.reduce((sum, { size }) => sum + size, 0) + record.manifest.size);
    const requests = await seen();
    expect(requests.filter((entry) => entry === 'HEAD blobs')).to.have.length(4);
    expect(requests.filter((entry) => entry === 'POST blobs/uploads')).to.have.length(4);
    expect(requests.filter((entry) => entry === 'PUT blobs/uploads')).to.have.length(4);
    expect(requests).to.have.length(13);
    expect(requests.at(-1)).to.equal('PUT manifests');
    expect(result.requests).to.equal(13);
    expect(await digestOfTag('new/one', '1')).to.equal(record.manifest.digest);
    expect((await fresh(record)).sources).to.deep.equal([`${registry.host}/new/one@${record.manifest.digest}`]);
    expect(await readdir(join(root, 'uploads'))).to.deep.equal([]);
    expect(await readdir(join(root, 'locks'))).to.have.members(['image-names', 'store']);
  });

  it('asks two questions when all is there already', async () => {
    const record = await storeImage({ content, metadata }, [layer(), layer()]);
    await pushImage(deps(), request(record, 'nothing/new'));
    await registry.forget();
    const again = await pushImage(deps(), request(await fresh(record), 'nothing/new'));
    expect(states(again)).to.deep.equal(['present', 'present']);
    expect(await seen()).to.deep.equal(['HEAD manifests', 'PUT manifests']);
  });

  it('sends one new layer, config and manifest after a commit', async () => {
    const [one, two] = [layer(), layer()];
    await pushImage(deps(), request(await storeImage({ content, metadata }, [one, two]), 'after/commit'));
    const added = layer();
    const record = await storeImage({ content, metadata }, [one, two, added]);
    const result = await pushImage(deps(), request(record, 'after/commit', { tags: ['2', 'latest'] }));
    expect(states(result)).to.deep.equal(['present', 'present', 'uploaded']);
    expect(result.bytes).to.equal(added.length + record.config.size + 3 * record.manifest.size);
    for (const tag of ['1', '2', 'latest'])
      expect(await digestOfTag('after/commit', tag)).to.equal(record.manifest.digest);
  });

  it('mounts what another repository of the host has, whichever image it is known by', async () => {
    const [base, own] = [layer(), layer()];
    await pushImage(deps(), request(await storeImage({ content, metadata }, [base]), 'mount/base'));
    await registry.forget();
    const record = await storeImage({ content, metadata }, [base, own]);
    const plan = await planPush(deps(), request(record, 'mount/app'));
    expect(states(plan)).to.deep.equal(['mounted', 'uploaded']);
    expect(plan).to.include({
      mountBytes: base.length,
      uploadBytes: own.length + record.config.size + record.manifest.size,
      presentBytes: 0,
    });
    expect((await seen()).every((entry) => entry.startsWith('HEAD '))).to.equal(true);

    const result = await pushImage(deps(), request(record, 'mount/app'));
    expect(states(result)).to.deep.equal(['mounted', 'uploaded']);
    expect(result.bytes).to.equal(own.length + record.config.size + record.manifest.size);
    expect((await seen()).filter((entry) => entry.endsWith('mount'))).to.have.length(1);
    expect(events.find(({ state }) => state === 'mounted')).to.include({ digest: digestOf(base), action: 'upload' });
  });

  it('uploads where a mount is not possible: the other repository has lost the blob', async () => {
    const base = layer();
    const sources = [1, 2].map((i) => `${registry.host}/lost/${i}@${digestOf('x')}`);
    const record = await storeImage({ content, metadata }, [base], { sources });
    const result = await pushImage(deps(), request(record, 'lost/target'));
    expect(states(result)).to.deep.equal(['uploaded']);
    // The session that the last mount opened is used, the other one given up.
    const requests = await seen();
    expect(requests.filter((entry) => entry === 'POST blobs/uploads mount')).to.have.length(4);
    expect(requests.filter((entry) => entry === 'POST blobs/uploads')).to.have.length(0);
    expect(requests.filter((entry) => entry === 'DELETE blobs/uploads')).to.have.length(2);
  });

  it('streams a blob that is not here any more from where it is known to be', async () => {
    const gone = layer(300_000);
    const record = await storeImage({ content, metadata }, [gone, layer()]);
    await pushImage(deps(), request(record, 'far/source'));
    await content.delete(digestOf(gone));
    const other = await startRegistryServer({ dir: join(root, 'other'), listen: { port: 0 } });
    try {
      const reference = { host: new URL(other.url).host, repository: 'near', tag: '1' };
      const result = await pushImage(deps(), { ...request(await fresh(record), ''), reference });
      expect(states(result)).to.deep.equal(['uploaded', 'uploaded']);
    } finally {
      await other.close();
    }
  });

  it('says so when a blob is nowhere, and publishes nothing', async () => {
    const gone = layer();
    const record = await storeImage({ content, metadata }, [layer(), gone]);
    await content.delete(digestOf(gone));
    const error = await rejection(pushImage(deps(), request(record, 'gone/blob')));
    expect(error).to.be.instanceOf(NotFoundError);
    expect(error.message).to.include(digestOf(gone));
    expect((await seen()).some((entry) => entry.includes('PUT manifests'))).to.equal(false);
    expect((await fresh(record)).sources).to.deep.equal([]);
  });

  it('says so when a blob is damaged here', async () => {
    const good = layer();
    const record = await storeImage({ content, metadata }, [good]);
    const damaged = Buffer.from(good);
    damaged[500]! ^= 1;
    await writeFile(content.path(digestOf(good)), damaged);
    expect(await rejection(pushImage(deps(), request(record, 'bad/blob')))).to.be.instanceOf(DigestMismatchError);
  });

  it('pushes by digest alone, and refuses another digest than the image has', async () => {
    const record = await storeImage({ content, metadata }, [layer()]);
    const { digest } = record.manifest;
    const reference = { host: registry.host, repository: 'by/digest', digest };
    expect((await pushImage(deps(), request(record, '', { reference }))).tags).to.deep.equal([]);
    const other = { ...reference, digest: digestOf('other') };
    const refused = pushImage(deps(), request(record, '', { reference: other }));
    expect(await rejection(refused)).to.be.instanceOf(InvalidReferenceError);
  });

  describe('converted', () => {
    /** Manifest of a tag and its layers as the registry has them, decompressed. */
    const remote = async (repository: string): Promise<{ manifest: ImageManifest; diffIds: string[] }> => {
      const reader = await suite.client().open({ host: registry.host, repository }, { signal: never });
      const { bytes, descriptor } = await reader.manifest({ tag: '1' }, { signal: never });
      const manifest = parseManifest(bytes, descriptor.mediaType, 'it') as ImageManifest;
      const diffIds: string[] = [];
      for (const blob of manifest.layers) {
        const { body } = await reader.blob(blob).open({ signal: never });
        const data = Buffer.concat((await body.toArray()) as Buffer[]);
        expect(digestOf(data)).to.equal(blob.digest);
        diffIds.push(digestOf(blob.mediaType.endsWith('zstd') ? zstdDecompress(data) : gunzipSync(data)));
      }
      return { manifest, diffIds };
    };
    const tar = (name: string, size: number): Buffer =>
      gzipSync(writeTar([{ path: name, content: randomBytes(size) }]));

    it('writes another format with the same blobs, and back again', async () => {
      const record = await storeImage({ content, metadata }, [tar('a', 3000), tar('b', 10)]);
      const docker = await pushImage(deps(), request(record, 'as/docker', { format: 'v2s2' }));
      expect(docker.id).to.equal(record.id);
      expect(docker.digest).to.not.equal(record.manifest.digest);
      expect(notes.join('\n')).to.include(docker.digest);
      const { manifest, diffIds } = await remote('as/docker');
      expect(manifest.mediaType).to.equal(MEDIA_TYPE.dockerManifest);
      expect(manifest.config).to.deep.equal({ ...record.config, mediaType: MEDIA_TYPE.dockerConfig });
      const layers = record.layers.map((blob) => ({ ...blob, mediaType: MEDIA_TYPE.dockerLayerGzip }));
      expect(manifest.layers).to.deep.equal(layers);
      expect(diffIds).to.deep.equal(record.diffIds);
      const again = await pushImage(deps(), request(await fresh(record), 'as/docker', { format: 'v2s2' }));
      expect(states(again)).to.deep.equal(['present', 'present']);
      const same = await pushImage(deps(), request(record, 'as/oci', { format: 'oci' }));
      expect(same.digest).to.equal(record.manifest.digest);
      expect((await fresh(record)).manifest).to.deep.equal(record.manifest);
    });

    it('writes layers of zstd into a format that lacks it where --compression gzip is given', async () => {
      const record = await storeImage({ content, metadata }, [tar('a', 3000)]);
      const zstd = { compression: { kind: 'zstd' }, format: 'oci' } as const;
      await pushImage(deps(), request(record, 'zstd/source', zstd));
      const { manifest: there, diffIds } = await remote('zstd/source');
      const reader = await suite.client().open({ host: registry.host, repository: 'zstd/source' }, { signal: never });
      const { body } = await reader.blob(there.layers[0]!).open({ signal: never });
      await content.put(Buffer.concat((await body.toArray()) as Buffer[]));
      const raw = await reader.manifest({ tag: '1' }, { signal: never });
      await content.put(raw.bytes);
      const own = { ...record, manifest: raw.descriptor, layers: there.layers, sources: [] };
      for (const compression of [{ kind: 'gzip' } as const, undefined]) {
        const to = request(own, `zstd/to-${compression?.kind ?? 'default'}`, { format: 'v2s2', compression });
        await pushImage(deps(), to);
        const { manifest, diffIds: now } = await remote(to.reference.repository);
        expect(manifest.layers.map(({ mediaType }) => mediaType)).to.deep.equal([MEDIA_TYPE.dockerLayerGzip]);
        expect(now).to.deep.equal(diffIds);
      }
    });

    it('compresses layers in another way, always alike, keeps those that are so already, and leaves nothing', async () => {
      const record = await storeImage({ content, metadata }, [tar('a', 3 * MiB), tar('b', 10)]);
      const blobs = async (): Promise<string[]> => (await readdir(join(root, 'blobs/sha256'))).sort();
      const before = await blobs();
      const compression = { kind: 'zstd' } as const;
      const plan = await planPush(deps(), request(record, 'as/zstd', { compression }));
      expect(await blobs()).to.deep.equal(before);
      expect(await readdir(join(root, 'ingest')).catch(() => [])).to.deep.equal([]);
      const pushed = await pushImage(deps(), request(record, 'as/zstd', { compression }));
      expect(pushed.digest).to.equal(plan.digest);
      expect(pushed.bytes).to.equal(plan.uploadBytes);
      expect(await blobs()).to.deep.equal(before);
      const { manifest, diffIds } = await remote('as/zstd');
      expect(diffIds).to.deep.equal(record.diffIds);
      expect(new Set(manifest.layers.map(({ mediaType }) => mediaType))).to.deep.equal(
        new Set([MEDIA_TYPE.ociLayerZstd]),
      );
      for (const { digest } of record.layers) expect(notes.join('\n')).to.include(digest);
      const again = await pushImage(deps(), request(record, 'as/zstd2', { compression }));
      expect(again.digest).to.equal(pushed.digest);
      const gzip = await pushImage(deps(), request(record, 'as/gzip', { compression: { kind: 'gzip' } }));
      expect(gzip.digest).to.equal(record.manifest.digest);
      const best = { kind: 'gzip', level: 9 } as const;
      await pushImage(deps(), request(record, 'as/best', { compression: best, format: 'v2s2' }));
      expect((await remote('as/best')).diffIds).to.deep.equal(record.diffIds);
    });

    it('refuses zstd in a Docker manifest', async () => {
      const record = await storeImage({ content, metadata }, [tar('a', 10)]);
      const refused = pushImage(deps(), request(record, 'no/zstd', { format: 'v2s2', compression: { kind: 'zstd' } }));
      expect(await rejection(refused)).to.be.instanceOf(UnsupportedMediaTypeError);
      expect(await seen()).to.deep.equal([]);
    });
  });

  describe('a registry that answers 429, 500 and 503', () => {
    const push = async (answer: (request: number) => number | undefined): Promise<void> => {
      const server = await startRegistryServer({ dir: join(root, 'registry'), listen: { port: 0 } });
      const proxy = await startFlakyProxy(new URL(server.url).host, answer);
      try {
        const record = await storeImage({ content, metadata }, [layer(), gzipSync(randomBytes(9 * MiB), { level: 0 })]);
        const reference = { host: proxy.host, repository: 'a/b', tag: '1' };
        await pushImage(deps({ retries: 8 }), { ...request(record, ''), reference });
        const reader = await suite.client().open({ ...reference, host: new URL(server.url).host }, { signal: never });
        expect((await reader.resolve({ tag: '1' }, { signal: never })).digest).to.equal(record.manifest.digest);
        for (const blob of record.layers) {
          const { body } = await reader.blob(blob).open({ signal: never });
          expect(digestOf(Buffer.concat((await body.toArray()) as Buffer[]))).to.equal(blob.digest);
        }
        expect(proxy.refused).to.be.greaterThan(2);
        expect(await metadata.uploads.list()).to.deep.equal([]);
      } finally {
        await proxy.close();
        await server.close();
      }
    };

    it('now and then: the push ends right', async () => {
      const statuses = [429, 503, 500];
      await push((n) => (n % 3 === 1 ? statuses[((n / 3) % 3) | 0] : undefined));
    });

    it('always: the push ends with an error that says so, and publishes nothing', async () => {
      for (const status of [429, 500]) {
        const server = await startRegistryServer({ dir: join(root, 'registry'), listen: { port: 0 } });
        const proxy = await startFlakyProxy(new URL(server.url).host, (n) => (n > 3 ? status : undefined));
        try {
          const record = await storeImage({ content, metadata }, [layer(), layer()]);
          const reference = { host: proxy.host, repository: 'c/d', tag: '1' };
          const error = await rejection(pushImage(deps({ retries: 1 }), { ...request(record, ''), reference }));
          expect(error).to.be.instanceOf(RegistryError);
          expect(error.message).to.include(String(status));
          expect((await fresh(record)).sources).to.deep.equal([]);
        } finally {
          await proxy.close();
          await server.close();
        }
      }
    });
  });

  describe('interrupted', () => {
    let server: RunningServer;
    let proxy: CuttingProxy;
    const blob = gzipSync(randomBytes(9 * MiB), { level: 0 });
    beforeEach(async () => {
      server = await startRegistryServer({ dir: join(root, 'registry'), listen: { port: 0 } });
      proxy = await startCuttingProxy(new URL(server.url).host, [6 * MiB]);
    });
    afterEach(async () => {
      await proxy.close();
      await server.close();
    });
    /** When the registry has written what the proxy had passed on: a later push may find less, and sends that again. */
    const stored = async (location: string, bytes: number): Promise<void> => {
      for (let last = 0; last < bytes; await sleep(20)) {
        const { headers } = await fetch(location);
        last = Number(headers.get('range')!.slice('0-'.length));
      }
    };
    const through = (record: ImageRecord): PushRequest => ({
      ...request(record, ''),
      reference: { host: proxy.host, repository: 'a/b', tag: '1' },
    });

    it('goes on in a later process where the upload stopped', async () => {
      const record = await storeImage({ content, metadata }, [blob]);
      expect(await rejection(pushImage(deps({ retries: 0 }), through(record)))).to.be.instanceOf(TransportError);
      const [left] = await metadata.uploads.list();
      expect(left).to.include({ host: proxy.host, repository: 'a/b', digest: digestOf(blob) });
      expect(await readdir(join(root, 'locks'))).to.deep.equal(['store']);
      await stored(left!.location, 5.5 * MiB);
      const result = await pushImage(deps(), through(record));
      expect(states(result)).to.deep.equal(['uploaded']);
      expect(proxy.received).to.be.lessThan(blob.length + MiB);
      expect(await metadata.uploads.list()).to.deep.equal([]);
    });

    it('starts over when the registry has forgotten the session', async () => {
      const record = await storeImage({ content, metadata }, [blob]);
      await rejection(pushImage(deps({ retries: 0 }), through(record)));
      const [left] = await metadata.uploads.list();
      await fetch(left!.location, { method: 'DELETE' });
      expect(states(await pushImage(deps(), through(record)))).to.deep.equal(['uploaded']);
      expect(proxy.received).to.be.greaterThan(blob.length + 5 * MiB);
    });

    it('leaves an upload to the process that is at it, and finds its blob', async () => {
      const record = await storeImage({ content, metadata }, [blob]);
      proxy.cuts.length = 0;
      const begun = async (): Promise<void> => {
        while (proxy.received === 0) await sleep(1);
      };
      const [first, second] = await Promise.all([
        pushImage(deps(), through(record)),
        begun().then(() => pushImage(deps(), through(record))),
      ]);
      expect([...states(first), ...states(second)].sort()).to.deep.equal(['present', 'uploaded']);
      expect(proxy.received).to.be.lessThan(blob.length + MiB);
    });

    it('ends when aborted, and lets go', async () => {
      const record = await storeImage({ content, metadata }, [blob]);
      const controller = new AbortController();
      const base = deps();
      const progress = {
        note: () => undefined,
        event: (event: ProgressEvent): void => {
          if (event.state === 'active') controller.abort();
        },
      };
      const pushing = pushImage({ ...base, progress }, { ...through(record), signal: controller.signal });
      expect((await rejection(pushing)).name).to.equal('AbortError');
      expect(await readdir(join(root, 'locks'))).to.deep.equal(['store']);
    });
  });
});
