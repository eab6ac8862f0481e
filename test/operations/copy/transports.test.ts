import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openArchiveDestination, openArchiveSource } from '../../../lib/archive/index.js';
import { createContentStore, type ContentStore } from '../../../lib/content/index.js';
import { createLayerApplier, packLayer, recompressLayer } from '../../../lib/layer/index.js';
import { createMetadataStore, type MetadataStore } from '../../../lib/metadata/index.js';
import { createRegistryClient, type RegistryClient, type V1Repository } from '../../../lib/registry/index.js';
import { startRegistryServer, type RunningServer } from '../../../lib/server/index.js';
import { changes, createSnapshotter, openStore } from '../../../lib/snapshot/index.js';
import type { ImageSource } from '../../../lib/spec/index.js';
import { putImage } from '../../helpers/artifacts.js';
import { btrfsDirectory } from '../../helpers/btrfs.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { writeOciLayout } from '../../helpers/oci-layout.js';
import { run } from '../../helpers/run.js';
import { skopeoCopy } from '../../helpers/skopeo.js';
import { storeImage } from '../../helpers/stored-image.js';
import { writeTar, type TarEntry } from '../../helpers/tar-writer.js';
import { V1Registry } from '../../helpers/v1-registry.js';
import { describeImageDestination } from '../../suites/image-destination.js';
import { describeImageSource } from '../../suites/image-source.js';
import {
  openRegistryDestination,
  openStoreDestination,
  openStoreSource,
  V1Destination,
  V1Source,
} from '../../../lib/operations/copy/index.js';
import { openRegistrySource } from '../../../lib/operations/registry/index.js';

const { signal } = new AbortController();
const entries = [{ path: 'file', content: randomBytes(600 * 1024) }];
const small = [{ path: 'small', content: 'small' }];

describe('operations/copy: the contract of', () => {
  let directory: string;
  let registry: RegistryClient;
  let count = 0;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-transports-'));
    registry = createRegistryClient({ backoffBaseMs: 5 });
  });
  after(async () => {
    await registry.close();
    await rm(directory, { recursive: true });
  });

  describe('registries', () => {
    let debian: DockerRegistry;
    let embedded: RunningServer;
    before(async () => {
      [debian, embedded] = await Promise.all([
        startDockerRegistry(),
        startRegistryServer({ dir: join(directory, 'served'), listen: { port: 0 } }),
      ]);
      const layers = [writeTar(entries), writeTar(small)];
      for (const url of [debian.url, embedded.url])
        for (const tag of ['1', 'latest']) digest = (await putImage(url, 'app', tag, { layers, label: 'same' })).digest;
    });
    after(() => Promise.all([debian.stop(), embedded.close()]));

    let digest: string;
    for (const [kind, host] of [
      ['docker-registry', () => debian.host],
      ['the embedded registry', () => new URL(embedded.url).host],
    ] as const) {
      const open = (repository: string): Promise<ImageSource> =>
        openRegistrySource(registry, { host: host(), repository }, { signal });
      describeImageSource(kind, () => ({ open: () => open('app'), tags: ['1', 'latest'], digest }));
      describeImageDestination(
        kind,
        { visible: 'at once', verifies: 'registry', tellsManifests: true, untagged: 'digest' },
        () => {
          const repository = `new-${++count}`;
          return Promise.resolve({
            open: () => openRegistryDestination(registry, { host: host(), repository }, { signal }),
            read: () => open(repository),
            tag: '1',
          });
        },
      );
    }
  });

  describe('layouts and archives', () => {
    let digest: string | undefined;
    before(async () => {
      const layers = [{ entries }, { entries: small, compression: 'none' }] as const;
      const layout = join(directory, 'layout');
      digest = (
        await writeOciLayout(
          layout,
          ['1', 'latest'].map((tag) => ({ tag, layers })),
        )
      ).get('1');
      await run('tar', ['-C', layout, '-cf', join(directory, 'layout.tar'), '.']);
      await skopeoCopy(`oci:${layout}:1`, `docker-archive:${join(directory, 'docker.tar')}:app:1`);
    });
    before(async () => {
      const [root, leaf] = ['1'.repeat(64), '2'.repeat(64)] as [string, string];
      const image = (id: string, json: object, layer: Buffer): TarEntry[] => [
        { path: `${id}/json`, content: JSON.stringify({ id, os: 'linux', architecture: 'amd64', ...json }) },
        { path: `${id}/layer.tar`, content: layer },
      ];
      const images = [...image(root, {}, writeTar(entries)), ...image(leaf, { parent: root }, writeTar(small))];
      const repositories = { path: 'repositories', content: JSON.stringify({ app: { 1: leaf } }) };
      await writeFile(join(directory, 'v1.tar'), writeTar([...images, repositories]));
    });
    const open = (path: string): Promise<ImageSource> =>
      openArchiveSource({ name: `oci:${path}`, path, temporaryDirectory: directory, signal });

    describeImageSource('v1 archives', () => ({
      open: () => open(join(directory, 'v1.tar')),
      tags: ['docker.io/library/app:1'],
    }));
    for (const [kind, format, file, tags, tag] of [
      ['OCI layouts', 'oci-dir', 'layout', ['1', 'latest'], '1'],
      ['oci-archive', 'oci-archive', 'layout.tar', ['1', 'latest'], '1'],
      ['docker-archive', 'docker-archive', 'docker.tar', ['docker.io/library/app:1'], 'docker.io/library/app:1'],
    ] as const) {
      describeImageSource(kind, () => ({
        ...{ open: () => open(join(directory, file)), tags },
        digest: format === 'docker-archive' ? undefined : digest,
      }));
      describeImageDestination(
        kind,
        { visible: 'by commit', verifies: 'put', tellsManifests: true, untagged: 'empty selector' },
        async () => {
          const place = await mkdtemp(join(directory, 'place-'));
          const path = join(place, 'image');
          const isThere = format === 'oci-dir' ? join(path, 'index.json') : path;
          return {
            open: () => openArchiveDestination({ name: `oci:${path}`, format, path, tag, signal }),
            read: async () => (existsSync(isThere) ? open(path) : undefined),
            leftovers: async () => (await readdir(place, { recursive: true })).filter((name) => name.includes('.new-')),
            tag,
          };
        },
      );
    }
  });

  describe('the local store', () => {
    let content: ContentStore;
    let metadata: MetadataStore;
    let root: string;
    let digest: string;
    before(async () => {
      ({ root } = await openStore(join(await mkdtemp(join(btrfsDirectory('transports'), 'x-')), 'root'), {
        create: true,
      }));
      [content, metadata] = [createContentStore({ root }), createMetadataStore({ root })];
      const layers = [gzipSync(writeTar(entries)), gzipSync(writeTar(small))];
      const names = ['docker.io/library/app:1', 'docker.io/library/app:latest'];
      digest = (await storeImage({ content, metadata }, layers, { names })).manifest.digest;
    });
    const deps = (): Parameters<typeof openStoreSource>[0] & Parameters<typeof openStoreDestination>[0] => ({
      ...{ content, metadata, snapshots: createSnapshotter({ root }), createApplier: () => createLayerApplier() },
      ...{ compareTrees: changes, packLayer, recompressLayer },
      progress: { event: () => undefined, note: () => undefined },
      registry,
    });

    describeImageSource('store', () => ({
      open: () => openStoreSource(deps(), 'app:1', { signal }),
      tags: ['docker.io/library/app:1', 'docker.io/library/app:latest'],
      digest,
    }));
    describeImageDestination(
      'store',
      { visible: 'by commit', verifies: 'put', tellsManifests: false, untagged: 'empty selector' },
      () => {
        const name = `docker.io/library/new-${++count}:1`;
        return Promise.resolve({
          open: () => openStoreDestination(deps(), name, { reserveBytes: 0, signal }),
          read: async () => {
            const isThere = (await metadata.images.list()).some(({ names }) => names.includes(name));
            return isThere ? openStoreSource(deps(), name, { signal }) : undefined;
          },
          tag: name,
        });
      },
    );
  });

  describe('registry protocol v1', () => {
    let server: V1Registry;
    before(async () => {
      server = await V1Registry.start();
      server.add(
        'team/app',
        '1',
        [entries, small].map((files, i) => ({ id: String(i + 1).repeat(64), layer: gzipSync(writeTar(files)) })),
      );
    });
    after(async () => {
      await server.close();
      server.verify();
    });
    const open = async (repository: string): Promise<V1Repository> =>
      (await registry.openV1({ host: server.host, repository, registryVersion: 1 }, { signal }))!;
    const progress = { event: () => undefined, note: () => undefined };
    const openSource = async (repository: string): Promise<ImageSource> =>
      new V1Source({ recompressLayer, progress, temporaryDirectory: directory }, await open(repository));

    describeImageSource('v1', () => ({ open: () => openSource('team/app'), tags: ['1'], hasDigests: false }));
    describeImageDestination(
      'v1',
      { visible: 'by commit', verifies: 'commit', tellsManifests: false, untagged: undefined, keepsManifests: false },
      () => {
        const repository = `team/new-${++count}`;
        return Promise.resolve({
          open: async () => new V1Destination(await open(repository), progress),
          read: () => openSource(repository),
          tag: '1',
        });
      },
    );
  });
});
