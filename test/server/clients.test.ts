import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { MEDIA_TYPE, type Descriptor } from '../../lib/spec/index.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { smallImage } from '../helpers/small-image.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { RegistryFixture } from './registry-fixture.js';

describe('server: skopeo as a client', () => {
  let registry: RegistryFixture;
  let dir: string;
  before(async () => {
    registry = await RegistryFixture.start();
    dir = await mkdtemp(join(tmpdir(), 'imgtool-clients-'));
    const busybox = Buffer.alloc(3_000_000, 'busybox');
    const small = smallImage(busybox, 'one');
    // New content each time: skopeo reuses compressed forms that it remembers from earlier runs.
    const fresh = smallImage(randomBytes(100_000), 'plain');
    const { os, architecture } = { os: 'linux', architecture: 'riscv64' };
    await writeOciLayout(join(dir, 'source'), [
      small,
      { ...fresh, layers: fresh.layers.map((layer) => ({ ...layer, compression: 'none' as const })) },
      smallImage(busybox, 'many'),
      { ...smallImage(busybox, 'many'), platform: { os, architecture } },
    ]);
  });
  after(async () => {
    await registry.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const blobsOf = async (layout: string): Promise<Map<string, string>> => {
    const names = await readdir(join(dir, layout, 'blobs/sha256'));
    const contents = await Promise.all(
      names.map((name) => readFile(join(dir, layout, 'blobs/sha256', name), 'base64')),
    );
    return new Map(names.map((name, index) => [name, contents[index]!]));
  };

  for (const { tag, flags } of [
    { tag: 'one', flags: [] },
    { tag: 'many', flags: ['--all'] },
  ]) {
    it(`pushes and pulls ${tag}, every blob as it was`, async () => {
      const remote = `docker://${registry.server.address}/clients/${tag}:${tag}`;
      await skopeoCopy(`oci:${join(dir, 'source')}:${tag}`, remote, ...flags);
      await skopeoCopy(remote, `oci:${join(dir, `back-${tag}`)}:${tag}`, ...flags);
      const source = await blobsOf('source');
      const back = await blobsOf(`back-${tag}`);
      expect(back.size).to.be.greaterThan(3);
      for (const [name, content] of back) expect(source.get(name) === content, name).to.equal(true);
    });
  }

  for (const { what, flags, layerType } of [
    { what: 'schema2', flags: ['--format=v2s2'], layerType: MEDIA_TYPE.dockerLayerGzip },
    {
      what: 'zstd',
      flags: ['--format=oci', '--dest-compress-format=zstd'],
      layerType: MEDIA_TYPE.ociLayerZstd,
    },
  ]) {
    it(`takes ${what}, and gives it back`, async () => {
      const remote = `docker://${registry.server.address}/clients/${what}:x`;
      const back = join(dir, `back-${what}`);
      await skopeoCopy(`oci:${join(dir, 'source')}:${what === 'zstd' ? 'plain' : 'one'}`, remote, ...flags);
      await skopeoCopy(remote, `dir:${back}`);
      const manifest = await registry.send('GET', `/v2/clients/${what}/manifests/x`);
      expect((await readFile(join(back, 'manifest.json'))).equals(manifest.body)).to.equal(true);
      const { layers } = JSON.parse(manifest.body.toString()) as { layers: Descriptor[] };
      expect(layers.map((layer) => layer.mediaType)).to.include(layerType);
    });
  }

  it('mounts what another repository of the same server has instead of uploading it', async () => {
    const remote = (name: string): string => `docker://${registry.server.address}/clients/${name}:one`;
    await skopeoCopy(`oci:${join(dir, 'source')}:one`, remote('first'));
    const { bytesReceived } = registry.server.statistics;
    await skopeoCopy(remote('first'), remote('second'));
    expect(registry.server.statistics.bytesReceived - bytesReceived).to.be.below(20_000);
  });
});
