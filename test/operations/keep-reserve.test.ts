import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { DiskSpaceError } from '../../lib/errors.js';
import type { SpaceReport } from '../../lib/snapshot/index.js';
import { rejection } from '../helpers/rejection.js';
import { keepingReserve } from '../../lib/operations/layers/index.js';

const MB = 1e6;
const GB = 1e9;

describe('operations/keep-reserve', () => {
  /** A store that answers with each of `reports` once, then with the last for ever. */
  const storeWith = (...reports: readonly Partial<SpaceReport>[]): { snapshots: never; settled: () => number } => {
    let [asked, settled] = [0, 0];
    const snapshots = {
      space: () => {
        const report = reports[Math.min(asked++, reports.length - 1)];
        return Promise.resolve({
          total: 9 * GB,
          dataFree: 9 * GB,
          metadataFree: GB,
          backingFree: undefined,
          ...report,
        });
      },
      settleSpace: () => Promise.resolve(void settled++),
    };
    return { snapshots: snapshots as never, settled: () => settled };
  };
  /** Ends by the signal alone. */
  const writing = (signal: AbortSignal): Promise<never> => sleep(60_000, undefined as never, { signal });
  const { signal } = new AbortController();

  it('stops the work as soon as less than the reserve is left, and waits for what it gave back', async () => {
    const { snapshots, settled } = storeWith({}, { dataFree: 300 * MB }, { dataFree: 99 * MB });
    const error = await rejection(keepingReserve({ snapshots }, { reserveBytes: 100 * MB, signal }, writing));
    expect(error).to.be.instanceOf(DiskSpaceError);
    expect(error.message).to.equal('the store has 99 MB left, and 100 MB are kept in reserve');
    expect(settled()).to.equal(1);
  });

  it('says that the disk below the pool is the full one, and that metadata is', async () => {
    for (const [report, words] of [
      [{ backingFree: 10 * MB }, /^the disk that carries the pool has 10 MB left/],
      [{ metadataFree: 1 * MB }, /^the store has 1 MB left for metadata/],
    ] as const) {
      const { snapshots } = storeWith({}, report);
      const error = await rejection(keepingReserve({ snapshots }, { reserveBytes: 100 * MB, signal }, writing));
      expect(error.message).to.match(words);
    }
  });

  it('looks again after btrfs has freed what was deleted before it refuses to start', async () => {
    const work = (): Promise<string> => Promise.resolve('done');
    const freed = storeWith({ dataFree: 0 }, {});
    expect(await keepingReserve(freed, { reserveBytes: GB, signal }, work)).to.equal('done');
    const full = storeWith({ dataFree: GB });
    expect(await rejection(keepingReserve(full, { reserveBytes: GB, signal }, work))).to.be.instanceOf(DiskSpaceError);
  });

  it('without a size keeps half of a small room, and with 0 nothing', async () => {
    const work = (guarded: AbortSignal): Promise<void> => sleep(50, undefined, { signal: guarded });
    await keepingReserve(storeWith({ dataFree: 10 * MB }), { signal }, work);
    const error = await rejection(
      keepingReserve(storeWith({ dataFree: 10 * MB }, { dataFree: 4 * MB }), { signal }, work),
    );
    expect(error.message).to.match(/ 5 MB are kept in reserve$/);
    await keepingReserve(storeWith({ dataFree: 0 }), { reserveBytes: 0, signal }, work);
  });

  it('passes what stopped the work otherwise', async () => {
    const abort = new AbortController();
    const stopped = keepingReserve(storeWith({}), { reserveBytes: GB, signal: abort.signal }, writing);
    setImmediate(() => abort.abort());
    expect((await rejection(stopped)).name).to.equal('AbortError');
    const failed = keepingReserve(storeWith({}), { reserveBytes: GB, signal }, () =>
      Promise.reject(new Error('other')),
    );
    expect((await rejection(failed)).message).to.equal('other');
  });
});
