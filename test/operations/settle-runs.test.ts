import { expect } from 'chai';
import { SubvolumeError } from '../../lib/errors.js';
import { settleRuns } from '../../lib/operations/store/index.js';

type Deps = Parameters<typeof settleRuns>[0];

describe('settling runs that died', () => {
  it('one that cannot be cleaned is noted and stops no other; read-only flags are undone first', async () => {
    const done: string[] = [];
    await settleRuns({
      metadata: { tryLock: (name: string) => Promise.resolve({ release: () => void done.push(`release ${name}`) }) },
      snapshots: {
        containerPath: (id: string) => `/${id}`,
        unlockContainer: (id: string) => Promise.resolve(void done.push(`unlock ${id}`)),
      },
      runtime: {
        list: () => Promise.resolve(['stuck', 'well']),
        settle: (id: string) => {
          if (id === 'stuck') return Promise.reject(new SubvolumeError('unlinkat etc failed', { path: '/stuck' }));
          done.push(`settle ${id}`);
          return Promise.resolve(false);
        },
      },
      progress: { note: (line: string) => void done.push(line) },
    } as unknown as Deps);
    expect(done).to.deep.equal([
      'unlock stuck',
      'container stuck could not be cleaned up: unlinkat etc failed',
      'release running-stuck',
      'unlock well',
      'settle well',
      'release running-well',
    ]);
  });
});
