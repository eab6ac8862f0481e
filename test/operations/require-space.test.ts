import { expect } from 'chai';
import { DiskSpaceError } from '../../lib/errors.js';
import type { SpaceReport } from '../../lib/snapshot/index.js';
import { digestOf, MEDIA_TYPE } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { requireSpace } from '../../lib/operations/layers/index.js';

const MB = 1e6;

describe('operations/require-space', () => {
  const blob = { mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(Buffer.from('x')), size: 10 * MB };
  const { digest, size } = blob;
  /** 10 MB to fetch and 10 MB unpacked, with 1 MB in reserve. */
  const ask = (space: Pick<SpaceReport, 'dataFree' | 'backingFree'>): Promise<void> => {
    const snapshots = { space: () => Promise.resolve(space as SpaceReport), settleSpace: () => Promise.resolve() };
    const limit = { reserveBytes: 1 * MB, signal: new AbortController().signal };
    return requireSpace({ snapshots } as never, [{ blob }], [{ digest, size, state: 'fetched' }], limit);
  };

  it('lets pass what fits', async () => {
    await ask({ dataFree: 21 * MB, backingFree: undefined });
    await ask({ dataFree: 99 * MB, backingFree: 21 * MB });
  });

  it('refuses what the store, or the file system under its pool, has no room for, with both figures', async () => {
    for (const space of [
      { dataFree: 20 * MB, backingFree: 99 * MB },
      { dataFree: 99 * MB, backingFree: 20 * MB },
    ]) {
      const refusal = (await rejection(ask(space))) as DiskSpaceError;
      expect(refusal).to.be.instanceOf(DiskSpaceError);
      expect([refusal.needed, refusal.available]).to.deep.equal([20 * MB, 19 * MB]);
      expect(refusal.hint).to.contain('imgtool rmi');
    }
  });
});
