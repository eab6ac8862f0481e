import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { createContentStore, type ContentStore } from '../../../lib/content/index.js';
import { packLayer, recompressLayer } from '../../../lib/layer/index.js';
import { createMetadataStore, type ImageRecord, type MetadataStore } from '../../../lib/metadata/index.js';
import { copy, openStoreSource, pushImage, type CopyResult } from '../../../lib/operations/index.js';
import { changes, createSnapshotter } from '../../../lib/snapshot/index.js';
import { digestOf } from '../../../lib/spec/index.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { scriptedSuite } from '../../helpers/scripted-suite.js';
import { storeImage } from '../../helpers/stored-image.js';
import { writeTar } from '../../helpers/tar-writer.js';
import { V1Registry } from '../../helpers/v1-registry.js';

const { signal } = new AbortController();
const progress = { event: () => undefined, note: () => undefined };

describe('operations/copy: from the store', () => {
  const suite = scriptedSuite();
  let registry: DockerRegistry;
  let root: string;
  let content: ContentStore;
  let metadata: MetadataStore;
  before(async () => {
    registry = await startDockerRegistry();
  });
  after(() => registry.stop());
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'imgtool-copy-store-'));
    for (const name of ['images', 'layers', 'containers', 'uploads', 'locks']) await mkdir(join(root, name));
    [content, metadata] = [createContentStore({ root }), createMetadataStore({ root })];
    await registry.forget();
  });
  afterEach(() => rm(root, { recursive: true }));

  const layer = (): Buffer => gzipSync(writeTar([{ path: 'file', content: randomBytes(1000) }]));
  const local = () => ({
    ...{ content, metadata, snapshots: createSnapshotter({ root }), compareTrees: changes },
    ...{ packLayer, recompressLayer, progress },
  });
  const copyTo = (record: ImageRecord, destination: string): Promise<CopyResult> => {
    const client = suite.client();
    return copy(
      {
        ...{ registry: client, progress, parallel: 6, temporaryDirectory: root, recompressLayer },
        openSource: () => openStoreSource({ ...local(), registry: client }, record.id, { signal }),
        openDestination: () => Promise.reject(new Error('not used')),
      },
      {
        ...{ source: `store:${record.id}`, destinations: [destination], tags: [], selection: { kind: 'all' } },
        ...{ preserveDigests: false, referrers: false, signal },
      },
    );
  };
  const states = ({ layers }: CopyResult): string[] => layers.map(({ state }) => state).sort();

  it('mounts what another repository of the host has, whichever image it is known by', async () => {
    const base = layer();
    const reference = { host: registry.host, repository: 'store/base', tag: '1' };
    const record = await storeImage({ content, metadata }, [base]);
    await pushImage({ ...local(), registry: suite.client() }, { record, reference, tags: [], signal });
    const other = await storeImage({ content, metadata }, [base, layer()]);
    const result = await copyTo(other, `docker://${registry.host}/store/app:1`);
    expect(states(result)).to.deep.equal(['mounted', 'uploaded', 'uploaded']);
    expect(result.digest).to.equal(other.manifest.digest);
  });

  it('reads a blob that is not here from the next place, where the first one cannot be reached', async () => {
    const gone = layer();
    const reference = { host: registry.host, repository: 'store/far', tag: '1' };
    const record = await storeImage({ content, metadata }, [gone]);
    await pushImage({ ...local(), registry: suite.client() }, { record, reference, tags: [], signal });
    const known = (await metadata.images.find(record))!;
    const nobody = `localhost:1/nobody/here@${record.manifest.digest}`;
    await metadata.images.put({ ...known, sources: [nobody, ...known.sources] });
    await content.delete(digestOf(gone));
    const target = await startDockerRegistry();
    try {
      const result = await copyTo(record, `docker://${target.host}/store/near:1`);
      expect(states(result)).to.deep.equal(['uploaded', 'uploaded']);
    } finally {
      await target.stop();
    }
  });

  it('tells which layers a registry of protocol v1 had', async () => {
    const target = await V1Registry.start();
    try {
      const record = await storeImage({ content, metadata }, [layer(), layer()]);
      const name = `docker-v1://${target.host}/store/app:1`;
      const layersOf = ({ layers }: CopyResult): string[] =>
        record.layers.map(({ digest }) => layers.find((blob) => blob.digest === digest)!.state);
      expect(layersOf(await copyTo(record, name))).to.deep.equal(['uploaded', 'uploaded']);
      expect(layersOf(await copyTo(record, name))).to.deep.equal(['present', 'present']);
    } finally {
      await target.close();
      target.verify();
    }
  });
});
