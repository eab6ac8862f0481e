import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createMetadataStore, type LayerRecord, type MetadataStore } from '../../lib/metadata/index.js';
import { createSnapshotter, openStore, type Snapshotter } from '../../lib/snapshot/index.js';
import { digestHex, digestOf, type ChainId, type DiffId } from '../../lib/spec/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { dropUnsealedLayers, syncLayers } from '../../lib/operations/store/index.js';

describe('operations/seal-layers', () => {
  let metadata: MetadataStore;
  let snapshots: Snapshotter;
  beforeEach(async () => {
    const { root } = await openStore(join(btrfsDirectory('seal'), 'root'), { create: true });
    metadata = createMetadataStore({ root, bootId: 'now' });
    snapshots = createSnapshotter({ root });
  });

  async function addLayer(bootId: string, sealed = false): Promise<LayerRecord> {
    const key = randomBytes(16).toString('hex');
    const chainId = digestOf(key) as ChainId;
    await snapshots.prepare(key, undefined);
    await snapshots.commit(chainId, key);
    const diffId = digestOf(key) as DiffId;
    const record: LayerRecord = { version: 1, chainId, diffId, size: 1, entries: 1, sealed, bootId };
    await metadata.layers.put(digestHex(chainId), record);
    return record;
  }
  const sealedOf = async (record: LayerRecord) => (await metadata.layers.get(digestHex(record.chainId)))?.sealed;

  it('seals what this boot wrote before the sync, and nothing else', async () => {
    const [before, other] = [await addLayer('now'), await addLayer('earlier')];
    let during: LayerRecord | undefined;
    let syncs = 0;
    const watched = {
      removeLayer: (layer: ChainId) => snapshots.removeLayer(layer),
      async sync() {
        syncs += 1;
        await snapshots.sync();
        during ??= await addLayer('now');
      },
    };
    const deps = { metadata, snapshots: watched };
    expect(await syncLayers(deps)).to.equal(1);
    expect([await sealedOf(before), await sealedOf(during!), await sealedOf(other)]).to.deep.equal([
      true,
      false,
      false,
    ]);
    expect(await syncLayers(deps)).to.equal(1);
    expect(await syncLayers(deps)).to.equal(0);
    expect(syncs).to.equal(2);
  });

  it('seals no layer that was removed meanwhile, and leaves one that is busy for later', async () => {
    const [gone, busy] = [await addLayer('now'), await addLayer('now')];
    const lock = await metadata.tryLock(`layer-${digestHex(busy.chainId)}`, 'exclusive');
    const watched = {
      removeLayer: (layer: ChainId) => snapshots.removeLayer(layer),
      sync: () => metadata.layers.delete(digestHex(gone.chainId)),
    };
    expect(await syncLayers({ metadata, snapshots: watched })).to.equal(0);
    expect([await sealedOf(gone), await sealedOf(busy)]).to.deep.equal([undefined, false]);
    lock!.release();
  });

  it('drops unsealed layers of another boot, subvolume and record', async () => {
    const [lost, kept, mine] = [await addLayer('earlier'), await addLayer('earlier', true), await addLayer('now')];
    const dropped = await dropUnsealedLayers({ metadata, snapshots });
    expect(dropped).to.deep.equal([lost]);
    expect(await snapshots.listLayers()).to.have.members([kept.chainId, mine.chainId]);
    expect(await metadata.layers.list()).to.have.deep.members([kept, mine]);
    expect(await dropUnsealedLayers({ metadata, snapshots })).to.deep.equal([]);
  });

  it('goes on where a crash cut the dropping', async () => {
    const lost = await addLayer('earlier');
    await snapshots.removeLayer(lost.chainId);
    expect(await dropUnsealedLayers({ metadata, snapshots })).to.deep.equal([lost]);
    expect(await metadata.layers.list()).to.deep.equal([]);
  });
});
