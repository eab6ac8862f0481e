import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageError } from '../../../lib/errors.js';
import { recompressLayer } from '../../../lib/layer/index.js';
import { copy, type CopyOrder, type CopyResult } from '../../../lib/operations/index.js';
import { digestOf, MEDIA_TYPE } from '../../../lib/spec/index.js';
import { putArtifact } from '../../helpers/artifacts.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { writeOciLayout, type LayerTable } from '../../helpers/oci-layout.js';
import { rejection } from '../../helpers/rejection.js';
import { run } from '../../helpers/run.js';
import { scriptedSuite } from '../../helpers/scripted-suite.js';
import { skopeoCopy } from '../../helpers/skopeo.js';

const never = new AbortController().signal;

interface Manifest {
  readonly mediaType: string;
  readonly config: { readonly mediaType: string; readonly digest: string };
  readonly layers: readonly { readonly mediaType: string; readonly digest: string }[];
  readonly manifests: readonly { readonly mediaType: string; readonly digest: string }[];
}

describe('operations/copy: conversion', () => {
  const suite = scriptedSuite();
  let directory: string;
  let spool: string;
  let from: DockerRegistry;
  let to: DockerRegistry;
  let notes: string[];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-convert-'));
    spool = await mkdtemp(join(directory, 'spool-'));
    const config = { compatibility: { schema1: { enabled: true } } };
    [from, to] = await Promise.all([startDockerRegistry({ config }), startDockerRegistry({ config })]);
    const layer = (name: string, size: number, compression: 'gzip' | 'none' = 'gzip'): LayerTable => ({
      entries: [{ path: name, content: Buffer.alloc(size, randomBytes(64)) }],
      compression,
    });
    const layers = [layer('base', 2_000_000), layer('plain', 5000, 'none'), layer('top', 700)];
    const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
    await writeOciLayout(join(directory, 'layout'), [
      { tag: 'one', layers },
      ...platforms.map((platform) => ({
        tag: 'many',
        platform,
        layers: [layers[0]!, layer(platform.architecture, 99)],
      })),
    ]);
    const source = (tag: string): string => `oci:${directory}/layout:${tag}`;
    await skopeoCopy(source('one'), `docker://${from.host}/app:one`, '--preserve-digests');
    await skopeoCopy(source('many'), `docker://${from.host}/app:many`, '--all');
    await skopeoCopy(source('one'), `docker://${from.host}/app:old`, '--format=v2s1');
  });
  after(async () => {
    await Promise.all([from.stop(), to.stop()]);
    await rm(directory, { recursive: true });
  });
  beforeEach(() => void (notes = []));
  afterEach(async () => expect(await readdir(spool)).to.deep.equal([]));

  const convert = (tag: string, target: string, more: Partial<CopyOrder> = {}): Promise<CopyResult> =>
    copy(
      {
        registry: suite.client(),
        progress: { event: () => undefined, note: (line) => void notes.push(line) },
        parallel: 6,
        temporaryDirectory: spool,
        recompressLayer,
        openSource: () => Promise.reject(new Error('not used')),
        openDestination: () => Promise.reject(new Error('not used')),
      },
      {
        source: `${from.host}/app:${tag}`,
        destinations: [`${to.host}/${target}`],
        tags: [],
        selection: { kind: 'all' },
        ...{ preserveDigests: false, referrers: false, signal: never },
        ...more,
      },
    );
  const raw = (reference: string): Promise<string> =>
    run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`]);
  const manifest = async (reference: string): Promise<Manifest> => JSON.parse(await raw(reference)) as Manifest;
  const types = async (reference: string): Promise<string[]> => {
    const { mediaType, config, layers } = await manifest(reference);
    return [mediaType, config.mediaType, ...layers.map((layer) => layer.mediaType)];
  };
  /** Has containers/storage unpack it: that checks diffIDs too. Resolves with the ID, which is that of the config. */
  const unpacked = async (reference: string): Promise<string> => {
    const storage = await mkdtemp(join(directory, 'storage-'));
    const place = `containers-storage:[vfs@${storage}/root+${storage}/run]judge:1`;
    await skopeoCopy(`docker://${reference}`, place);
    const config = await run('skopeo', ['inspect', '--config', '--tls-verify=false', `docker://${reference}`]);
    const { rootfs } = JSON.parse(config) as { rootfs?: { diff_ids: string[] } };
    await rm(storage, { recursive: true });
    return rootfs?.diff_ids.join(' ') ?? '';
  };
  let known: Promise<string> | undefined;
  const original = (): Promise<string> => (known ??= unpacked(`${from.host}/app:one`));
  const oci = (suffix: string): string => `application/vnd.oci.image.layer.v1.tar${suffix}`;

  it('OCI becomes schema 2: the same blobs, another manifest', async () => {
    const { digest } = await convert('one', 'app:v2s2', { conversion: { format: 'v2s2' } });
    const docker = 'application/vnd.docker.image.rootfs.diff.tar';
    expect(await types(`${to.host}/app:v2s2`)).to.deep.equal([
      ...[MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerConfig, `${docker}.gzip`, docker, `${docker}.gzip`],
    ]);
    const blobs = async (reference: string): Promise<string[]> =>
      (await manifest(reference)).layers.map((layer) => layer.digest);
    expect(await blobs(`${to.host}/app:v2s2`)).to.deep.equal(await blobs(`${from.host}/app:one`));
    expect(notes.join()).to.match(new RegExp(`converted: the digest is ${digest}, not sha256:`));
    expect(await unpacked(`${to.host}/app:v2s2`)).to.equal(await original());
  });

  it('layers are compressed with zstd; a second run sends nothing and has the same digest', async () => {
    const conversion = { compression: { kind: 'zstd' } } as const;
    const first = await convert('one', 'app:zstd', { conversion });
    expect(await types(`${to.host}/app:zstd`)).to.deep.equal([
      ...[MEDIA_TYPE.ociManifest, MEDIA_TYPE.ociConfig, oci('+zstd'), oci('+zstd'), oci('+zstd')],
    ]);
    expect(await unpacked(`${to.host}/app:zstd`)).to.equal(await original());
    const second = await convert('one', 'app:zstd', { conversion });
    expect(second.digest).to.equal(first.digest);
    expect(second.layers.map(({ state }) => state)).to.deep.equal(first.layers.map(() => 'present'));
  });

  it('layers that have the form asked for stay', async () => {
    await convert('one', 'app:gzip', { conversion: { compression: { kind: 'gzip' } } });
    const [before, after] = await Promise.all([manifest(`${from.host}/app:one`), manifest(`${to.host}/app:gzip`)]);
    expect(after.layers.map(({ digest }, i) => digest === before.layers[i]!.digest)).to.deep.equal([true, false, true]);
    const { digest } = await convert('many', 'app:same', {
      conversion: { format: 'oci', compression: { kind: 'gzip' } },
    });
    expect(await raw(`${to.host}/app@${digest}`)).to.equal(await raw(`${from.host}/app:many`));
  });

  it('a config with a field of the wrong type is refused by name, and nothing is sent', async () => {
    const config = Buffer.from(JSON.stringify({ rootfs: { diff_ids: [] }, config: { User: 5 } }));
    const described = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length };
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: described, layers: [] }),
    );
    const server = await suite.serve(
      {
        ...{ method: 'GET', path: '/v2/app/manifests/bad' },
        reply: { body: bytes, headers: { 'content-type': MEDIA_TYPE.ociManifest } },
      },
      { method: 'GET', path: `/v2/app/blobs/${described.digest}`, reply: { body: config } },
    );
    const error = await rejection(
      convert('one', 'app:bad', { source: `${server.host}/app:bad`, conversion: { format: 'v2s2' } }),
    );
    expect(error.message).to.equal(`config ${described.digest} has a bad config.User: it is a number, not a string`);
  });

  it('an index of more manifests than a conversion takes is refused before any is read', async () => {
    const entry = { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf('x'), size: 1 };
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: Array(20_000).fill(entry) };
    const reply = { body: JSON.stringify(index), headers: { 'content-type': MEDIA_TYPE.ociIndex } };
    const server = await suite.serve({ method: 'GET', path: '/v2/app/manifests/wide', reply });
    const error = await rejection(
      convert('one', 'app:wide', { source: `${server.host}/app:wide`, conversion: { compression: { kind: 'zstd' } } }),
    );
    expect(error.message).to.match(/lists 20000 manifests, over the limit of 1000/);
  });

  it('an index is rewritten to converted images', async () => {
    await convert('many', 'app:list', { conversion: { format: 'v2s2' } });
    const list = await manifest(`${to.host}/app:list`);
    expect([list.mediaType, ...list.manifests.map(({ mediaType }) => mediaType)]).to.deep.equal([
      ...[MEDIA_TYPE.dockerManifestList, MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerManifest],
    ]);
    for (const { digest } of list.manifests) await unpacked(`${to.host}/app@${digest}`);
  });

  it('nothing is converted, nor sent, where digests are to stay', async () => {
    await to.forget();
    for (const conversion of [{ format: 'v2s2' }, { format: 'v2s1' }, { compression: { kind: 'zstd' } }] as const) {
      const options = { conversion, preserveDigests: true };
      expect(await rejection(convert('one', 'app:kept', options)), JSON.stringify(conversion)).to.be.instanceOf(
        UsageError,
      );
    }
    expect(await to.requests()).to.deep.equal([]);
    await convert('one', 'app:kept', { conversion: { format: 'oci' }, preserveDigests: true });
    expect(await raw(`${to.host}/app:kept`)).to.equal(await raw(`${from.host}/app:one`));
  });

  it('what is no image is left as it is', async () => {
    await putArtifact(from.url, 'app', { content: 'note', tag: 'artifact' });
    await convert('artifact', 'app:artifact', { conversion: { format: 'v2s2', compression: { kind: 'gzip' } } });
    expect(await raw(`${to.host}/app:artifact`)).to.equal(await raw(`${from.host}/app:artifact`));
  });

  it('an image is written in schema 1, under each tag another one; not an index', async () => {
    await convert('one', 'team/app:s1', { conversion: { format: 'v2s1' }, tags: ['s1-too'] });
    for (const tag of ['s1', 's1-too']) {
      const document = JSON.parse(await raw(`${to.host}/team/app:${tag}`)) as Record<string, unknown>;
      expect([document.schemaVersion, document.name, document.tag]).to.deep.equal([1, 'team/app', tag]);
      await unpacked(`${to.host}/team/app:${tag}`);
    }
    const { message } = await rejection(convert('many', 'app:s1', { conversion: { format: 'v2s1' } }));
    expect(message).to.include('not an index');
  });

  describe('from schema 1', () => {
    it('it is copied as it is', async () => {
      const { digest, layers } = await convert('old', 'app:old');
      const payload = async (reference: string): Promise<object> => {
        const { signatures: _fresh, ...rest } = JSON.parse(await raw(reference)) as Record<string, unknown>;
        return rest;
      };
      expect(await payload(`${to.host}/app:old`)).to.deep.equal(await payload(`${from.host}/app:old`));
      expect(layers).to.have.length(3);
      expect((await convert('old', 'app:old', { preserveDigests: true })).digest).to.equal(digest);
    });

    it('it gets the name that it is copied to, unless digests are to stay', async () => {
      const { digest } = await convert('old', 'team/new:1', { tags: ['2'] });
      const kept = await convert('old', 'team/kept:1', { preserveDigests: true });
      expect(notes.filter((note) => note.includes('re-signed as team/new:1'))).to.have.length(1);
      const names = async (place: string): Promise<unknown[]> => {
        const { name, tag, fsLayers } = JSON.parse(await raw(`${to.host}/team/${place}`)) as Record<string, unknown>;
        return [name, tag, fsLayers];
      };
      const { fsLayers, name, tag } = JSON.parse(await raw(`${from.host}/app:old`)) as Record<string, unknown>;
      expect(await names('new:1')).to.deep.equal(['team/new', '1', fsLayers]);
      expect(await names(`new@${digest}`)).to.deep.equal(['team/new', '1', fsLayers]);
      expect(await names('new:2')).to.deep.equal(['team/new', '2', fsLayers]);
      expect(await names('kept:1')).to.deep.equal([name, tag, fsLayers]);
      expect(kept.digest).to.not.equal(digest);
      expect((await convert('old', 'team/new:1')).digest).to.equal(digest);
    });

    for (const format of ['oci', 'v2s2'] as const)
      it(`it becomes ${format} with the diffIDs of its layers`, async () => {
        await convert('old', `app:old-${format}`, { conversion: { format } });
        const wanted = await original();
        expect(await unpacked(`${to.host}/app:old-${format}`)).to.equal(wanted);
        const { mediaType } = await manifest(`${to.host}/app:old-${format}`);
        expect(mediaType).to.equal(format === 'oci' ? MEDIA_TYPE.ociManifest : MEDIA_TYPE.dockerManifest);
      });
  });
});
