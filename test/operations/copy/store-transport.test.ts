import { chmodSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { createContentStore, type ContentStore } from '../../../lib/content/index.js';
import { NotFoundError } from '../../../lib/errors.js';
import { createLayerApplier } from '../../../lib/layer/index.js';
import { createMetadataStore, type MetadataStore } from '../../../lib/metadata/index.js';
import { createSnapshotter, openStore } from '../../../lib/snapshot/index.js';
import {
  digestOf,
  hostPlatform,
  MEDIA_TYPE,
  type Descriptor,
  type ImageDestination,
  type RawManifest,
} from '../../../lib/spec/index.js';
import { btrfsDirectory } from '../../helpers/btrfs.js';
import { rejection } from '../../helpers/rejection.js';
import { writeTar } from '../../helpers/tar-writer.js';
import { openStoreDestination } from '../../../lib/operations/copy/index.js';

const { signal } = new AbortController();

describe('operations/copy: into the store', () => {
  const tar = writeTar([{ path: 'file', content: 'content' }]);
  const layer = gzipSync(tar);
  let root: string;
  let content: ContentStore;
  let metadata: MetadataStore;
  beforeEach(async () => {
    ({ root } = await openStore(join(await mkdtemp(join(btrfsDirectory('copy'), 'x-')), 'root'), { create: true }));
    [content, metadata] = [createContentStore({ root }), createMetadataStore({ root })];
  });

  /** An image of one layer whose config is in the store. */
  async function imageOf(described: Partial<Descriptor>): Promise<RawManifest> {
    const { os, architecture } = hostPlatform();
    const rootfs = { type: 'layers', diff_ids: [digestOf(Buffer.from(tar))] };
    const config = Buffer.from(JSON.stringify({ os, architecture, rootfs }));
    const mediaType = MEDIA_TYPE.ociManifest;
    const bytes = Buffer.from(
      JSON.stringify({
        ...{ schemaVersion: 2, mediaType },
        config: { mediaType: MEDIA_TYPE.ociConfig, digest: await content.put(config), size: config.length },
        layers: [{ mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(layer), size: layer.length, ...described }],
      }),
    );
    return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
  }

  const open = (): Promise<ImageDestination> =>
    openStoreDestination(
      {
        ...{ content, metadata, snapshots: createSnapshotter({ root }), createApplier: () => createLayerApplier() },
        progress: { event: () => undefined, note: () => undefined },
      },
      'app:1',
      { reserveBytes: 0, signal },
    );

  /** Ends a copy whose blobs have been dealt with. */
  async function finish(manifest: RawManifest): Promise<void> {
    const destination = await open();
    try {
      await destination.putManifest(manifest, { tag: '1' }, { signal });
      await destination.commit({ signal });
    } finally {
      await destination.close();
    }
  }

  it('an image from one source is unpacked while it is taken, and recorded by commit', async () => {
    const manifest = await imageOf({});
    const snapshots = createSnapshotter({ root });
    const take = async (): Promise<(string | undefined)[]> => {
      const destination = await open();
      try {
        const source = {
          blob: (descriptor: Descriptor) => ({ descriptor, open: () => Promise.resolve(Readable.from([layer])) }),
        };
        const taken = await destination.takeImage!(source, manifest, { signal });
        const unpacked = await snapshots.listLayers();
        expect(unpacked).to.have.length(1);
        await destination.putManifest(manifest, { tag: '1' }, { signal });
        await destination.commit({ signal });
        return taken.map(({ state }) => state);
      } finally {
        await destination.close();
      }
    };
    expect(await take()).to.deep.equal(['fetched', 'present']);
    expect((await metadata.images.list()).map(({ names }) => names)).to.deep.equal([['docker.io/library/app:1']]);
    // A blob that was dropped after unpacking comes back, because its source may vanish.
    await content.delete(digestOf(layer));
    expect(await take()).to.deep.equal(['present', 'present']);
    expect(await content.stat(digestOf(layer))).to.deep.equal({ size: layer.length });
  });

  it('a blob that turns out damaged is dropped and said to be; the next copy brings it', async () => {
    const manifest = await imageOf({});
    await content.put(layer);
    const path = content.path(digestOf(layer));
    chmodSync(path, 0o600);
    writeFileSync(path, Buffer.alloc(layer.length));
    const failure = await rejection(finish(manifest));
    expect(failure).to.be.instanceOf(NotFoundError);
    expect(failure).to.include({ kind: 'blob', subject: digestOf(layer) });
    expect((failure as NotFoundError).hint).to.include('run the command again');
    expect(await content.stat(digestOf(layer))).to.equal(undefined);
    await content.put(layer);
    await finish(manifest);
    expect((await metadata.images.list()).map(({ names }) => names)).to.deep.equal([['docker.io/library/app:1']]);
  });

  it('a layer that is kept elsewhere by design is named with its place', async () => {
    const mediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
    const manifest = await imageOf({ mediaType, urls: ['https://layers.example/one'] });
    const failure = await rejection(finish(manifest));
    expect(failure).to.be.instanceOf(NotFoundError);
    expect(failure.message).to.include('https://layers.example/one');
    expect((failure as NotFoundError).hint).to.include('imgtool pull');
    expect(await metadata.images.list()).to.deep.equal([]);
  });
});
