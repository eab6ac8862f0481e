import { expect } from 'chai';
import { withFrozen } from '../../lib/operations/layers/index.js';

type Deps = Parameters<typeof withFrozen>[0];
type Journal = NonNullable<Awaited<ReturnType<NonNullable<Deps['runtime']>['mountPoints']>>>;

const { signal } = new AbortController();

describe('freezing a container', () => {
  const journal = (name: string): Journal => ({
    made: [{ kind: 'file', path: Buffer.from(name), parentMtimeNs: 0n }],
    done: true,
  });

  /** What is done in its order, while the journal of a run is `before` and then `after` the snapshot is made. */
  async function steps(before?: Journal, after?: Journal): Promise<string[]> {
    const done: string[] = [];
    let isFrozen = false;
    const named = (from: Journal): string => from.made.map(({ path }) => path.toString()).join();
    await withFrozen(
      {
        metadata: { lock: () => Promise.resolve({ release: () => void done.push('release') }) },
        snapshots: {
          freeze: () => {
            isFrozen = true;
            done.push('freeze');
            return Promise.resolve('/frozen');
          },
          changeFrozen: async (_key: string, change: (path: string) => Promise<void>) => {
            done.push('writable');
            await change('/frozen');
            done.push('read-only');
          },
          removeWork: () => Promise.resolve(void done.push('remove')),
        },
        runtime: {
          mountPoints: () => Promise.resolve(isFrozen ? after : before),
          removeMountPoints: (copy: string, from: Journal) =>
            Promise.resolve(void done.push(`clean ${copy} of ${named(from)}`)),
        },
      } as unknown as Deps,
      { id: 'box', signal },
      ({ path }) => Promise.resolve(void done.push(`work ${path}`)),
    );
    return done;
  }

  it('leaves a snapshot read-only when no run has made anything', async () => {
    expect(await steps()).to.deep.equal(['freeze', 'work /frozen', 'remove', 'release']);
  });

  for (const [what, before, after, cleaned] of [
    ['goes on', journal('a'), journal('a'), ['a', 'a']],
    ['ends meanwhile, and takes its journal away', journal('a'), undefined, ['a']],
    ['begins meanwhile', undefined, journal('b'), ['b']],
  ] as const)
    it(`takes out what was made for a run that ${what}`, async () => {
      expect(await steps(before, after)).to.deep.equal([
        'freeze',
        'writable',
        ...cleaned.map((name) => `clean /frozen of ${name}`),
        'read-only',
        'work /frozen',
        'remove',
        'release',
      ]);
    });
});
