import { expect } from 'chai';
import { ALL_TAGS, sync, type SyncReport, type SyncRule, type TagQueue } from '../../../lib/operations/index.js';
import { digestsOf, putImage } from '../../helpers/artifacts.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { scriptedSuite } from '../../helpers/scripted-suite.js';

const FALSE_DIGEST = `sha256:${'0'.repeat(64)}`;

/** What a queue is made to answer: the results of its jobs come from anyone who can write to its Redis. */
interface Forged {
  readonly outcome?: object;
  readonly outcomes?: unknown;
  readonly blobs?: unknown;
  readonly state?: 'done' | 'dead';
}

describe('operations/sync: results in a queue are claims', () => {
  const suite = scriptedSuite();
  let source: DockerRegistry;
  let target: DockerRegistry;
  let hooks: string[][];
  before(async () => {
    [source, target] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  });
  after(() => Promise.all([source.stop(), target.stop()]));
  beforeEach(() => void (hooks = []));

  const place = (registry: DockerRegistry, repository: string): string => `${registry.host}/${repository}`;

  /** Runs sync with a queue that answers each job with a forged result. */
  async function mirror(repository: string, forged: Forged, more: Partial<SyncRule> = {}): Promise<SyncReport> {
    const queue: TagQueue = {
      put: (items, onFinished) => {
        for (const item of items) {
          const { tag } = item.payload as { readonly tag: string };
          const honest = { source: place(source, repository), target: place(target, repository), tag, state: 'copied' };
          const outcomes = forged.outcomes ?? [{ ...honest, digest: FALSE_DIGEST, ...forged.outcome }];
          const result = { outcomes, blobs: forged.blobs ?? [], requests: 0 };
          onFinished(item, { id: item.id, state: forged.state ?? 'done', result, reason: undefined });
        }
        return Promise.resolve();
      },
      settled: () => Promise.resolve(),
    };
    const rule: SyncRule = {
      ...{ host: source.host, repositories: [repository], platforms: [], referrers: false, deleteExtra: undefined },
      ...{ hook: ['run', '{tag}', '{digest}', '{target}', '{source}'], tags: ALL_TAGS },
      targets: [{ host: target.host, prefix: '', keep: 'path' }],
      ...more,
    };
    return sync(
      {
        registry: suite.client({ retries: 0 }),
        progress: { event: () => undefined, note: () => undefined },
        memory: new Map<string, string>(),
        registryFor: () => Promise.reject(new Error('no rule asks for it')),
        parallel: 2,
        recordDeletion: () => Promise.resolve(),
        runHook: (argv) => Promise.resolve(void hooks.push([...argv])),
        queue,
      },
      { rules: [rule], dryRun: false, keepGoing: true, signal: new AbortController().signal },
    );
  }

  for (const [title, forged] of Object.entries<Forged>({
    'a tag that is not the one of the job': { outcome: { tag: '$(touch X)' } },
    'a digest that is none': { outcome: { digest: '; touch Y' } },
    'a digest that is no text': { outcome: { digest: 5 } },
    'a target of another job': { outcome: { target: 'elsewhere.example/app' } },
    'a source of another job': { outcome: { source: 'elsewhere.example/app' } },
    'a state of removal': { outcome: { state: 'deleted' } },
    'sums of another host': { blobs: [{ target: 'x"}', bytes: 1, uploaded: 1, mounted: 0, present: 0, seconds: 1 }] },
    'seconds that are a list': { blobs: [{ target: 'x', bytes: 1, uploaded: 1, mounted: 0, present: 0, seconds: [] }] },
    'no list of outcomes': { outcomes: 'copied' },
  }))
    it(`fails a tag whose result has ${title}, and runs no hook`, async () => {
      await putImage(source.url, 'forged/app', '1', { layers: ['1'] });
      const report = await mirror('forged/app', forged);
      expect(report.tags).to.deep.equal([
        {
          ...{ source: place(source, 'forged/app'), target: place(target, 'forged/app'), tag: '1', state: 'failed' },
          error: 'the queue holds no valid result of it',
        },
      ]);
      expect(report).to.include({ copied: 0, failed: 1, deleted: 0 });
      expect(hooks).to.deep.equal([]);
    });

  it('fails a tag that has two results for one target', async () => {
    await putImage(source.url, 'twice/app', '1', { layers: ['1'] });
    const outcome = {
      source: place(source, 'twice/app'),
      target: place(target, 'twice/app'),
      tag: '1',
      state: 'copied',
    };
    expect(await mirror('twice/app', { outcomes: [outcome, outcome] })).to.include({ copied: 0, failed: 1 });
  });

  it('gives a hook the digest that the target tells, not the one in the queue', async () => {
    await putImage(source.url, 'hooked/app', '1', { layers: ['1'] });
    const { digest } = await putImage(target.url, 'hooked/app', '1', { layers: ['1'] });
    expect(await mirror('hooked/app', {})).to.include({ copied: 1, failed: 0 });
    const [at, from] = [place(target, 'hooked/app'), place(source, 'hooked/app')];
    expect(hooks).to.deep.equal([['run', '1', digest, `${at}:1`, `${from}:1`]]);
  });

  it('runs no hook for a tag that the target does not have, and says so', async () => {
    await putImage(source.url, 'absent/app', '1', { layers: ['1'] });
    const report = await mirror('absent/app', {});
    expect(report.tags.find(({ state }) => state === 'failed')?.error).to.include(
      'has no tag 1, although a worker says',
    );
    expect(hooks).to.deep.equal([]);
  });

  it('spares a protected tag that shares its manifest with one that goes, whatever digest the queue claims for it', async () => {
    for (const tag of ['1', '2']) await putImage(source.url, 'shared/app', tag, { layers: [tag] });
    for (const tag of ['1', '2', 'gone', 'keep-me'])
      await putImage(target.url, 'shared/app', tag, { layers: ['same'], label: 'same' });
    const rule = { deleteExtra: { maxDelete: 5, protect: ['keep-*'] }, hook: [] };
    expect(await mirror('shared/app', {}, rule)).to.include({ deleted: 1 });
    expect([...(await digestsOf(target.url, 'shared/app')).keys()]).to.deep.equal(['1', '2', 'keep-me']);
  });
});
