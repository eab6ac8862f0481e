import { expect } from 'chai';
import { copy, deliverImage, planCopy, StoreDestination } from '../../../lib/operations/copy/index.js';
import type { ImageDestination, ImageSource } from '../../../lib/spec/index.js';
import { rejection } from '../../helpers/rejection.js';
import { makeTestStore } from '../../helpers/test-store.js';

type Transports = Parameters<typeof copy>[0];
const { signal } = new AbortController();

describe('operations/copy: ends that cannot be closed', () => {
  let closed: string[];
  beforeEach(() => (closed = []));
  const close = (name: string) => (): Promise<void> => {
    closed.push(name);
    return Promise.reject(new Error(`${name} cannot be closed`));
  };
  const source = {
    name: 'source',
    manifest: () => Promise.reject(new Error('the work failed')),
    close: close('source'),
  } as unknown as ImageSource;
  const transports = {
    registry: { statistics: { bytesSent: 0, requests: 0 } },
    progress: { event: () => undefined, note: () => undefined },
    parallel: 1,
    openSource: () => Promise.resolve(source),
    openDestination: ({ path }: { path: string }) =>
      path.endsWith('missing')
        ? Promise.reject(new Error('cannot be opened'))
        : Promise.resolve({ name: path, close: close(path) } as unknown as ImageDestination),
  } as unknown as Transports;
  const order = (...destinations: string[]): Parameters<typeof copy>[1] => ({
    ...{ source: 'oci:/from', destinations, tags: [], selection: { kind: 'one' } as never },
    ...{ preserveDigests: true, referrers: false, signal },
  });

  it('all are closed, and the error of the work is thrown', async () => {
    for (const work of [copy, planCopy]) {
      closed = [];
      const error = await rejection(work(transports, order('dir:/a', 'dir:/b')));
      expect(error.message).to.equal('the work failed');
      expect(closed).to.have.members(['source', '/a', '/b']);
    }
    closed = [];
    const error = await rejection(deliverImage(transports, source, { destinations: ['dir:/a', 'dir:/b'], signal }));
    expect(error.message).to.equal('the work failed');
    expect(closed).to.deep.equal(['/a', '/b']);
  });

  it('those that are open are closed when the next cannot be opened', async () => {
    const error = await rejection(copy(transports, order('dir:/a', 'dir:/missing')));
    expect(error.message).to.equal('cannot be opened');
    expect(closed).to.have.members(['source', '/a']);
  });

  it('the lock of the store is released, though its threads cannot be ended', async () => {
    const { deps } = await makeTestStore();
    const applier = { apply: () => Promise.reject(new Error()), close: close('applier') };
    const store = await StoreDestination.open({ ...deps, createApplier: () => applier }, { reserveBytes: 0, signal });
    await store.begin();
    expect((await rejection(store.close())).message).to.equal('applier cannot be closed');
    const alone = await deps.metadata.tryLock('store', 'exclusive');
    expect(alone, 'a lock that nobody holds').to.not.equal(undefined);
    alone?.release();
  });
});
