import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  AuthenticationError,
  InvalidManifestError,
  RegistryError,
  TransportError,
  UsageError,
} from '../../../lib/errors.js';
import { recompressLayer } from '../../../lib/layer/index.js';
import {
  ALL_TAGS,
  prometheusText,
  sync,
  type DeletedTag,
  type SyncDeps,
  type SyncReport,
  type SyncRequest,
  type SyncRule,
  type TagRules,
} from '../../../lib/operations/index.js';
import type { RegistryClientOptions } from '../../../lib/registry/index.js';
import { startRegistryServer, type RunningServer } from '../../../lib/server/index.js';
import { digestOf } from '../../../lib/spec/index.js';
import { digestsOf, putArtifact, putBlob, putImage, putManifest } from '../../helpers/artifacts.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { startFlakyProxy } from '../../helpers/flaky-proxy.js';
import { randomSource } from '../../helpers/random-source.js';
import { rejection } from '../../helpers/rejection.js';
import type { Reply, Step } from '../../helpers/scripted-registry.js';
import { scriptedSuite } from '../../helpers/scripted-suite.js';
import { writeTar } from '../../helpers/tar-writer.js';
import { V1Registry } from '../../helpers/v1-registry.js';
import { zstdDecompress } from '../../helpers/zstd.js';

const never = new AbortController().signal;

describe('operations/sync', () => {
  const suite = scriptedSuite();
  let source: DockerRegistry;
  let target: DockerRegistry;
  let deleted: DeletedTag[];
  let hooks: string[][];
  let memory: Map<string, string>;
  before(async () => {
    [source, target] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  });
  after(() => Promise.all([source.stop(), target.stop()]));
  beforeEach(async () => {
    [deleted, hooks, memory] = [[], [], new Map<string, string>()];
    await Promise.all([source.forget(), target.forget()]);
  });

  interface Mirror extends Partial<Omit<SyncRule, 'tags' | 'targets'>> {
    readonly tags?: Partial<TagRules>;
    readonly targets?: readonly string[];
  }
  const ruleFor = (repository: string, { tags, targets, ...more }: Mirror): SyncRule => ({
    ...{ host: source.host, repositories: [repository], platforms: [], referrers: false, deleteExtra: undefined },
    hook: [],
    ...more,
    tags: { ...ALL_TAGS, ...tags },
    targets: (targets ?? [target.host]).map((host) => ({ host, prefix: '', keep: 'path' })),
  });
  const mirror = (
    rules: readonly SyncRule[],
    more: Partial<SyncRequest> = {},
    client: RegistryClientOptions = {},
    deps: Partial<SyncDeps> = {},
  ): Promise<SyncReport> =>
    sync(
      {
        registry: suite.client({ retries: 0, ...client }),
        progress: { event: () => undefined, note: () => undefined },
        memory,
        convert: { recompressLayer, temporaryDirectory: tmpdir() },
        registryFor: () => Promise.reject(new Error('no rule asks for it')),
        parallel: 6,
        recordDeletion: (entry) => Promise.resolve(void deleted.push(entry)),
        runHook: (argv) => Promise.resolve(void hooks.push([...argv])),
        ...deps,
      },
      { rules, dryRun: false, keepGoing: false, signal: never, ...more },
    );
  const kinds = async (registry: DockerRegistry): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const { method, uri } of await registry.requests()) {
      const kind = /\/(blobs\/uploads|blobs|manifests|tags\/list)/.exec(uri)?.[1] ?? uri;
      counts[`${method} ${kind}`] = (counts[`${method} ${kind}`] ?? 0) + 1;
    }
    return counts;
  };

  it('copies what is selected, then asks once a tag and side; only what moves is copied again', async () => {
    for (const tag of ['1.0', '1.1', '2.0', 'latest'])
      await putImage(source.url, 'plain/app', tag, { layers: ['shared', tag] });
    const rules = [ruleFor('plain/app', { tags: { semver: ['*'] }, hook: ['run', '{tag}', '{target}', '{digest}'] })];
    const first = await mirror(rules);
    expect(first).to.include({ copied: 3, upToDate: 0, failed: 0, deleted: 0, repositories: 1 });
    const there = await digestsOf(source.url, 'plain/app');
    expect([...(await digestsOf(target.url, 'plain/app'))]).to.deep.equal(
      [...there].filter(([tag]) => tag !== 'latest'),
    );
    expect(hooks.map(([, tag]) => tag).sort()).to.deep.equal(['1.0', '1.1', '2.0']);
    expect(hooks[0]).to.deep.equal([
      ...['run', hooks[0]![1], `${target.host}/plain/app:${hooks[0]![1]}`, there.get(hooks[0]![1]!)],
    ]);
    // The layer they share was sent once.
    expect(first.targets[0]).to.include({ uploaded: 7, target: target.host });

    await Promise.all([source.forget(), target.forget()]);
    const second = await mirror(rules);
    expect(second).to.include({ copied: 0, upToDate: 3, bytes: 0, requests: 7 });
    expect(second.tags).to.deep.equal([]);
    expect(await kinds(source)).to.deep.equal({ 'GET tags/list': 1, 'HEAD manifests': 3 });
    expect(await kinds(target)).to.deep.equal({ 'HEAD manifests': 3 });

    await putImage(source.url, 'plain/app', '2.0', { layers: ['shared', 'moved'] });
    const third = await mirror(rules);
    expect(third).to.include({ copied: 1, upToDate: 2 });
    expect(third.tags).to.have.length(1);
    const moved = (await digestsOf(source.url, 'plain/app')).get('2.0');
    expect((await digestsOf(target.url, 'plain/app')).get('2.0')).to.equal(moved);
  });

  it('plans without changing anything', async () => {
    await putImage(source.url, 'plan/app', '1', { layers: [randomBytes(50_000)] });
    await putImage(source.url, 'plan/app', '2', { layers: [randomBytes(1000)] });
    const rules = [ruleFor('plan/app', {})];
    const plan = await mirror(rules, { dryRun: true });
    expect(plan).to.include({ copied: 2, dryRun: true });
    expect(plan.tags.map(({ state }) => state)).to.deep.equal(['planned-copy', 'planned-copy']);
    expect((await target.requests()).every(({ method }) => method === 'HEAD' || method === 'GET')).to.equal(true);
    const { bytes } = await mirror(rules);
    expect(plan.bytes).to.equal(bytes);
  });

  it('plans a layer that several tags share once', async () => {
    const shared = randomBytes(50_000);
    for (const tag of ['1', '2', '3'])
      await putImage(source.url, 'plan/shared', tag, { layers: [shared, randomBytes(1000)] });
    const plan = await mirror([ruleFor('plan/shared', {})], { dryRun: true });
    expect(plan.bytes).to.equal((await mirror([ruleFor('plan/shared', {})])).bytes);
    expect(plan.bytes).to.be.lessThan(100_000);
  });

  it('takes the newest and the young by when they were created, and remembers what a digest says', async () => {
    const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString();
    for (const [tag, ago] of [
      ['old', 100],
      ['b', 3],
      ['a', 1],
      ['c', 20],
    ] as const)
      await putImage(source.url, 'dated/app', tag, { layers: [tag], created: day(ago) });
    const newest = ruleFor('dated/app', { tags: { newest: 2, newestBy: 'created' } });
    expect((await mirror([newest])).copied).to.equal(2);
    expect([...(await digestsOf(target.url, 'dated/app')).keys()]).to.deep.equal(['a', 'b']);
    await source.forget();
    expect((await mirror([newest])).upToDate).to.equal(2);
    expect(await kinds(source)).to.deep.equal({ 'GET tags/list': 1, 'HEAD manifests': 6 });
    await mirror([ruleFor('dated/app', { tags: { sinceMs: 30 * 86_400_000 } })]);
    expect([...(await digestsOf(target.url, 'dated/app')).keys()]).to.deep.equal(['a', 'b', 'c']);
  });

  it('counts images without a date as the oldest, names them and never deletes their tags as extra', async () => {
    const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString();
    for (const [tag, ago] of [
      ['new', 1],
      ['older', 20],
      ['oldest', 200],
    ] as const)
      await putImage(source.url, 'undated/app', tag, { layers: [tag], created: day(ago) });
    await putImage(source.url, 'undated/app', 'undated', { layers: ['undated'], created: null });
    const rule = (tags: Partial<TagRules>): SyncRule =>
      ruleFor('undated/app', { tags, deleteExtra: { maxDelete: 10, protect: [] } });
    const notes: string[] = [];
    const progress = { event: () => undefined, note: (line: string) => void notes.push(line) };
    await mirror([ruleFor('undated/app', {})]);
    for (const tags of [{ newest: 2, newestBy: 'created' }, { sinceMs: 30 * 86_400_000 }] as const) {
      await mirror([rule(tags)], {}, {}, { progress });
      expect([...(await digestsOf(target.url, 'undated/app')).keys()]).to.deep.equal(['new', 'older', 'undated']);
      expect(notes.pop()).to.match(/^warning: undated of \S+\/undated\/app has no creation date/);
    }
    await mirror([rule({ newest: 4, newestBy: 'created' })]);
    expect([...(await digestsOf(target.url, 'undated/app')).keys()]).to.have.length(4);
  });

  it('counts and names tags that vanish from the source during the run, and leaves those of the target', async () => {
    const put = async (content: string): Promise<void> => {
      for (const tag of ['1', '2']) await putImage(source.url, 'vanishing/app', tag, { layers: [tag + content] });
    };
    await put('');
    await mirror([ruleFor('vanishing/app', {})]);
    await put('moved');
    const digests = await digestsOf(source.url, 'vanishing/app');
    // The tag that is copied first takes the other one away.
    const runHook = async ([, tag]: readonly string[]): Promise<void> => {
      const other = digests.get(tag === '1' ? '2' : '1')!;
      await fetch(`${source.url}/v2/vanishing/app/manifests/${other}`, { method: 'DELETE' });
    };
    const rule = ruleFor('vanishing/app', { hook: ['run', '{tag}'], deleteExtra: { maxDelete: 10, protect: [] } });
    const report = await mirror([rule], {}, {}, { parallel: 1, runHook });
    expect(report).to.include({ copied: 1, vanished: 1, deleted: 0, failed: 0 });
    expect(report.tags.map(({ state }) => state).sort()).to.deep.equal(['copied', 'vanished']);
    expect([...(await digestsOf(target.url, 'vanishing/app')).keys()]).to.deep.equal(['1', '2']);
  });

  it('fails a repository with an image that cannot be read, not the others, with keepGoing', async () => {
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const bytes = Buffer.from('no config');
    const digest = await putBlob(source.url, 'unread/app', bytes);
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: bytes.length };
    await putManifest(source.url, 'unread/app', { mediaType, ...{ schemaVersion: 2, config, layers: [] } }, 'bad');
    for (const repository of ['unread/app', 'unread/next'])
      await putImage(source.url, repository, '1', { layers: ['1'], created: new Date().toISOString() });
    const tags = { sinceMs: 86_400_000 };
    const rules = ['unread/app', 'unread/next'].map((repository) => ruleFor(repository, { tags }));
    expect(await rejection(mirror(rules))).to.be.instanceOf(InvalidManifestError);
    const report = await mirror(rules, { keepGoing: true });
    expect(report).to.include({ copied: 1, failed: 1, repositories: 1 });
    expect(report.tags.at(-1)).to.include({ state: 'failed', tag: '*', source: `${source.host}/unread/app` });
  });

  it('looks at targets themselves, not at mirrors of them', async () => {
    const { digest } = await putImage(source.url, 'lag/app', '1', { layers: ['1'] });
    const sources: Required<RegistryClientOptions>['sources'] = (host, repository) => {
      const itself = { host, repository };
      return host === target.host ? [{ host: source.host, repository }, itself] : [itself];
    };
    expect(await mirror([ruleFor('lag/app', {})], {}, { sources })).to.include({ copied: 1, upToDate: 0 });
    expect((await digestsOf(target.url, 'lag/app')).get('1')).to.equal(digest);
  });

  it('rewrites indexes to platforms, and knows next time without reading them', async () => {
    const index = 'application/vnd.oci.image.index.v1+json';
    const manifests = [];
    for (const architecture of ['amd64', 'arm64', 's390x']) {
      const image = await putImage(source.url, 'multi/app', `tmp-${architecture}`, { layers: [architecture] });
      manifests.push({ ...image, platform: { os: 'linux', architecture } });
    }
    await putManifest(source.url, 'multi/app', { mediaType: index, ...{ schemaVersion: 2, manifests } }, '1');
    const platforms = ['amd64', 's390x'].map((architecture) => ({ os: 'linux', architecture }));
    const rule = ruleFor('multi/app', { platforms, tags: { exact: ['1'] } });
    expect((await mirror([rule])).copied).to.equal(1);
    const accept = { headers: { accept: index } };
    const copied = (await (await fetch(`${target.url}/v2/multi/app/manifests/1`, accept)).json()) as object;
    expect(copied).to.deep.include({ manifests: [manifests[0], manifests[2]] });
    await source.forget();
    expect((await mirror([rule])).upToDate).to.equal(1);
    expect(await kinds(source)).to.deep.equal({ 'HEAD manifests': 1 });
    // The target decides, not what was remembered.
    await putImage(target.url, 'multi/app', '1', { layers: ['changed'] });
    expect((await mirror([rule])).copied).to.equal(1);
  });

  it('converts each layer once for all tags, and knows next time what became of them', async () => {
    const layer = (name: string): Buffer => writeTar([{ path: name, content: Buffer.from(name.repeat(500)) }]);
    for (const tag of ['1', '2']) await putImage(source.url, 'zstd/app', tag, { layers: [layer('base'), layer(tag)] });
    const rule = ruleFor('zstd/app', { conversion: { format: 'oci', compression: { kind: 'zstd' } } });
    await source.forget();
    expect(await mirror([rule])).to.include({ copied: 2, failed: 0 });
    // Of three layers and two configs, none was read twice.
    expect((await kinds(source))['GET blobs']).to.equal(5);
    const accept = { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } };
    const manifest = (await (await fetch(`${target.url}/v2/zstd/app/manifests/1`, accept)).json()) as {
      layers: { mediaType: string; digest: string }[];
    };
    expect(manifest.layers[0]!.mediaType).to.equal('application/vnd.oci.image.layer.v1.tar+zstd');
    const blob = await fetch(`${target.url}/v2/zstd/app/blobs/${manifest.layers[0]!.digest}`);
    expect(zstdDecompress(Buffer.from(await blob.arrayBuffer()))).to.deep.equal(layer('base'));

    await Promise.all([source.forget(), target.forget()]);
    expect(await mirror([rule])).to.include({ copied: 0, upToDate: 2, requests: 5 });
    expect(await kinds(source)).to.deep.equal({ 'GET tags/list': 1, 'HEAD manifests': 2 });
    await putImage(source.url, 'zstd/app', '3', { layers: [layer('base'), layer('3')] });
    await source.forget();
    expect(await mirror([rule])).to.include({ copied: 1, upToDate: 2 });
    expect((await kinds(source))['GET blobs']).to.equal(2);
    // Forgotten, all of it is converted again, and nothing sent.
    memory.clear();
    expect(await mirror([rule])).to.include({ copied: 0, upToDate: 3, bytes: 0 });
  });

  it('brings a registry of protocol v1 to OCI, each layer fetched once, and asks little afterwards', async () => {
    const old = await V1Registry.start();
    try {
      const image = (name: string): { id: string; layer: Buffer } => ({
        id: createHash('sha256').update(name).digest('hex'),
        layer: writeTar([{ path: name, content: Buffer.from(name.repeat(500)) }]),
      });
      for (const tag of ['1', '2']) old.add('team/app', tag, [image('root'), image(tag)]);
      const rule = { ...ruleFor('team/app', {}), host: old.host, isV1: true };
      const layers = (): string[] => old.paths('GET').filter((path) => path.endsWith('/layer'));
      const plan = await mirror([rule], { dryRun: true });
      expect(plan).to.include({ copied: 2 });
      expect(plan.bytes).to.be.greaterThan(3 * 1024);
      expect(layers()).to.deep.equal([]);
      expect(await mirror([rule])).to.include({ copied: 2, failed: 0 });
      expect(layers()).to.have.length(3);
      const there = await digestsOf(target.url, 'team/app');
      expect([...there.keys()]).to.deep.equal(['1', '2']);

      old.requests.length = 0;
      expect(await mirror([rule])).to.include({ copied: 0, upToDate: 2 });
      expect(old.paths('GET').filter((path) => path.startsWith('images/'))).to.deep.equal([]);
      old.add('team/app', '3', [image('root'), image('3')]);
      old.add('team/app', '2', [image('root'), image('moved')]);
      expect(await mirror([rule])).to.include({ copied: 2, upToDate: 1 });
      expect(layers()).to.have.members(['3', 'moved'].map((name) => `images/${image(name).id}/layer`));
      // From nothing it is the same image.
      memory.clear();
      expect(await mirror([rule])).to.include({ copied: 0, upToDate: 3, bytes: 0 });
      old.verify();
    } finally {
      await old.close();
    }
  });

  it('brings signatures that came later', async () => {
    const subject = await putImage(source.url, 'signed/app', '1', { layers: ['x'] });
    const rule = ruleFor('signed/app', { tags: { allow: ['1'] }, referrers: true });
    await mirror([rule]);
    const cosign = `${subject.digest.replace(':', '-')}.sig`;
    await putArtifact(source.url, 'signed/app', { content: 'signature', tag: cosign });
    expect((await mirror([rule])).upToDate).to.equal(1);
    expect(await digestsOf(target.url, 'signed/app')).to.deep.equal(await digestsOf(source.url, 'signed/app'));
  });

  describe('removing what is extra', () => {
    const gone = { maxDelete: 2, protect: ['keep-*'] };
    const fill = async (repository: string): Promise<SyncRule> => {
      for (const tag of ['1', '2']) await putImage(source.url, repository, tag, { layers: [tag] });
      const rule = ruleFor(repository, { deleteExtra: gone });
      await mirror([rule]);
      return rule;
    };

    it('removes it, keeps a record, and spares tags with the same manifest', async () => {
      const rule = await fill('extra/app');
      for (const tag of ['keep-me', 'gone-1'])
        await putImage(target.url, 'extra/app', tag, { layers: ['s'], label: 's' });
      await putImage(target.url, 'extra/app', 'gone-2', { layers: ['other'] });
      const before = await digestsOf(target.url, 'extra/app');
      const plan = await mirror([rule], { dryRun: true });
      expect(plan.tags.map(({ state, tag }) => `${state} ${tag}`)).to.deep.equal([
        'planned-delete gone-1',
        'planned-delete gone-2',
      ]);
      expect(await digestsOf(target.url, 'extra/app')).to.deep.equal(before);
      const report = await mirror([rule]);
      expect(report).to.include({ deleted: 2, failed: 0 });
      expect([...(await digestsOf(target.url, 'extra/app')).keys()]).to.deep.equal(['1', '2', 'keep-me']);
      expect(deleted.map(({ tag, manifest }) => [tag, manifest.descriptor.digest])).to.deep.equal(
        ['gone-1', 'gone-2'].map((tag) => [tag, before.get(tag)]),
      );
    });

    it('removes several with one manifest, each recorded, asking for none twice', async () => {
      const rule = await fill('twins/app');
      for (const tag of ['gone-1', 'gone-2'])
        await putImage(target.url, 'twins/app', tag, { layers: ['s'], label: 's' });
      await target.forget();
      expect(await mirror([rule])).to.include({ deleted: 2, failed: 0 });
      // Of tags 1 and 2 when they are compared, and of the second that goes when the first does.
      expect(await kinds(target)).to.include({ 'HEAD manifests': 2, 'GET manifests': 3 });
      expect([...(await digestsOf(target.url, 'twins/app')).keys()]).to.deep.equal(['1', '2']);
      expect(deleted.map(({ tag }) => tag)).to.deep.equal(['gone-1', 'gone-2']);
    });

    it('spares a tag that could not be brought up to date and has the manifest of one that goes', async () => {
      const rule = await fill('behind/app');
      const { digest } = await putImage(target.url, 'behind/app', 'gone', { layers: ['1'], label: '1' });
      await putImage(source.url, 'behind/app', '1', { layers: ['lost'] });
      const lost = `${source.url}/v2/behind/app/blobs/${digestOf(Buffer.from('lost'))}`;
      expect((await fetch(lost, { method: 'DELETE' })).status).to.equal(202);
      expect(await mirror([rule], { keepGoing: true })).to.include({ copied: 0, failed: 1, deleted: 1 });
      const there = await digestsOf(target.url, 'behind/app');
      expect([there.get('1'), there.has('gone')]).to.deep.equal([digest, false]);
    });

    it('refuses when there is too much of it, or nothing is left at the source', async () => {
      const rule = await fill('many/app');
      for (const tag of ['x', 'y', 'z']) await putImage(target.url, 'many/app', tag, { layers: [tag] });
      const refusal = await rejection(mirror([rule]));
      expect(refusal).to.be.instanceOf(UsageError);
      expect(refusal.message).to.include('3 tags').and.include('over the limit of 2');
      const none = ruleFor('many/app', { tags: { allow: ['nothing'] }, deleteExtra: { maxDelete: 99, protect: [] } });
      expect((await rejection(mirror([none]))).message)
        .to.include('5 tags')
        .and.include('stay');
      expect((await digestsOf(target.url, 'many/app')).size).to.equal(5);
      expect(deleted).to.deep.equal([]);
    });

    it('says so when a registry does not allow it', async () => {
      const strict = await startDockerRegistry({
        config: { storage: { inmemory: {}, delete: { enabled: false } } },
      });
      try {
        const rule = {
          ...(await fill('strict/app')),
          ...ruleFor('strict/app', { targets: [strict.host], deleteExtra: gone }),
        };
        await putImage(strict.url, 'strict/app', 'extra', { layers: ['e'] });
        const refusal = await rejection(mirror([rule]));
        expect(refusal).to.be.instanceOf(RegistryError);
        expect(refusal.message).to.include('does not allow tags of strict/app to be removed');
        expect([...(await digestsOf(strict.url, 'strict/app')).keys()]).to.deep.equal(['1', '2', 'extra']);
      } finally {
        await strict.stop();
      }
    });
  });

  it('serves one target when another is down, with keepGoing; else it fails', async () => {
    await putImage(source.url, 'down/app', '1', { layers: ['1'] });
    const rule = ruleFor('down/app', { targets: ['127.0.0.1:1', target.host] });
    expect(await rejection(mirror([rule]))).to.be.instanceOf(TransportError);
    const report = await mirror([rule], { keepGoing: true });
    expect(report.failed).to.equal(1);
    expect(report.tags.at(-1)).to.include({ state: 'failed', target: '127.0.0.1:1/down/app' });
    expect((await digestsOf(target.url, 'down/app')).size).to.equal(1);
    const text = prometheusText(report, 5000);
    expect(text).to.include('imgtool_sync_errors{target="127.0.0.1:1"} 1\n');
    expect(text).to.include(`imgtool_sync_errors{target="${target.host}"} 0\n`);
    const [to, gone] = [target.host, '127.0.0.1:1'].map((host) => report.targets.find((one) => one.target === host)!);
    expect(to!.seconds).to.be.greaterThan(0);
    expect(gone!.seconds).to.equal(0);
    expect(text).to.match(/^(# (HELP|TYPE) \w+ .+\n|\w+(\{target="[^"]*"\})? \d+(\.\d+)?\n)+$/);
  });

  for (const side of ['source', 'target'] as const)
    it(`goes on where the ${side} died, sending nothing twice`, async () => {
      const storage = await mkdtemp(join(tmpdir(), 'imgtool-dies-'));
      let other = await startDockerRegistry({ storage });
      try {
        const [from, to] = side === 'source' ? [other, target] : [source, other];
        const tags = ['1', '2', '3', '4'];
        for (const tag of tags) await putImage(from.url, 'dies/app', tag, { layers: ['shared', tag] });
        const want = await digestsOf(from.url, 'dies/app');
        let alive = true;
        const onTag = (): void => {
          if (alive) process.kill(other.pid, 'SIGKILL');
          alive = false;
        };
        const first = await mirror(
          [{ ...ruleFor('dies/app', { targets: [to.host] }), host: from.host }],
          { keepGoing: true },
          {},
          { parallel: 2, onTag },
        );
        expect(first.copied).to.be.within(1, 3);
        expect(first.copied + first.failed).to.equal(4);
        await other.stop();
        other = await startDockerRegistry({ storage });
        const [again, there] = side === 'source' ? [other, target] : [source, other];
        const second = await mirror([{ ...ruleFor('dies/app', { targets: [there.host] }), host: again.host }]);
        expect(second).to.include({ copied: 4 - second.upToDate, failed: 0 });
        expect(second.upToDate).to.be.at.least(first.copied);
        expect(await digestsOf(there.url, 'dies/app')).to.deep.equal(want);
        // A layer they share, and for each a layer and a config.
        expect(first.targets[0]!.uploaded + second.targets[0]!.uploaded).to.be.at.most(9);
      } finally {
        await other.stop();
        await rm(storage, { recursive: true });
      }
    });

  it('slows down where a target says that it is too much, and loses nothing', async () => {
    for (const tag of ['1', '2', '3']) await putImage(source.url, 'slow/app', tag, { layers: ['shared', tag] });
    const busy = await startFlakyProxy(target.host, (n) => (n % 7 > 3 ? 429 : undefined));
    try {
      const report = await mirror([ruleFor('slow/app', { targets: [busy.host] })], {}, { retries: 15 });
      expect(report).to.include({ copied: 3, failed: 0 });
      expect(report.targets[0]).to.include({ uploaded: 7 });
      expect(busy.refused).to.be.greaterThan(5);
      expect(await digestsOf(target.url, 'slow/app')).to.deep.equal(await digestsOf(source.url, 'slow/app'));
    } finally {
      await busy.close();
    }
  });

  describe('from a registry whose HEAD tells another digest than that of the bytes', () => {
    const layer = Buffer.from('layer');
    const config = Buffer.from(
      JSON.stringify({ created: new Date().toISOString(), rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } }),
    );
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const described = (kind: string, bytes: Buffer): object => ({
      ...{ mediaType: `application/vnd.oci.image.${kind}`, digest: digestOf(bytes), size: bytes.length },
    });
    const parts = { config: described('config.v1+json', config), layers: [described('layer.v1.tar', layer)] };
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...parts }));
    const [wrong, right] = [digestOf('something else'), digestOf(manifest)];
    const path = '/v2/false/app/manifests';
    const served = (digest: string): Reply => ({
      body: manifest,
      headers: { 'content-type': mediaType, 'docker-content-digest': digest },
    });

    const get = (reference: string, reply: Reply, times = 1): Step => ({
      ...{ method: 'GET', path: `${path}/${reference}`, reply, times },
    });
    const blobs = [config, layer].map((bytes) => ({
      ...{ method: 'GET', path: `/v2/false/app/blobs/${digestOf(bytes)}`, reply: { body: bytes }, optional: true },
    }));
    /** A mirror of one tag from a registry that answers HEAD wrong and then as in `steps`. */
    const ruleOf = async (repository: string, ...steps: Step[]): Promise<SyncRule> => {
      const head = { method: 'HEAD', path: `${path}/1`, reply: served(wrong) };
      const { host } = await suite.serve(head, ...steps, ...blobs);
      const targets = [{ host: target.host, prefix: '', keep: 'path', repository }] as const;
      return { ...ruleFor('false/app', { tags: { exact: ['1'] } }), host, targets };
    };

    for (const [name, how, ...steps] of [
      ['a', 'that it does not have', get(wrong, { status: 404 }), get('1', served(right))],
      ['b', 'whose bytes are others', get(wrong, served(right), 2), get('1', served(right))],
      ['c', 'that GET tells, too', get(wrong, { status: 404 }), get('1', served(wrong), 2)],
    ] as const)
      it(`${how}: plans, copies and reports what the bytes are, with one warning`, async () => {
        const warnings: string[] = [];
        const warn = (line: string): void => void warnings.push(line);
        for (const dryRun of [true, false]) {
          const rule = await ruleOf(`false/${name}`, ...steps);
          const { tags } = await mirror([rule], { dryRun }, { warn });
          const state = dryRun ? 'planned-copy' : 'copied';
          expect(tags.map((tag) => [tag.state, tag.digest])).to.deep.equal([[state, right]]);
          const what = `reports digest ${wrong} for ${rule.host}/false/app:1`;
          expect(warnings.splice(0)).to.deep.equal([`warning: ${rule.host} ${what}, but its bytes have ${right}`]);
        }
        expect((await digestsOf(target.url, `false/${name}`)).get('1')).to.equal(right);
        await target.forget();
        const again = await mirror([await ruleOf(`false/${name}`, ...steps)], {}, { warn });
        expect(again).to.include({ upToDate: 1, copied: 0 });
        expect(await kinds(target)).to.deep.equal({ 'HEAD manifests': 1 });
      });

    it('takes the date of the bytes for the newest', async () => {
      const rule = await ruleOf(
        'false/dated',
        get(wrong, { status: 404 }, 2),
        get('1', served(right), 2),
        {
          ...{ method: 'HEAD', path: `${path}/1`, reply: served(wrong) },
        },
        { method: 'GET', path: '/v2/false/app/tags/list?n=1000', reply: { body: '{"tags":["1"]}' } },
        ...blobs,
      );
      const tags = { ...ALL_TAGS, newest: 1, newestBy: 'created' } as const;
      expect(await mirror([{ ...rule, tags }])).to.include({ copied: 1, failed: 0 });
    });
  });

  it('says when a catalog is forbidden', async () => {
    const closed = await suite.serve({
      ...{ method: 'GET', path: '/v2/_catalog?n=1000' },
      reply: { status: 403, headers: { 'content-type': 'application/json' } },
    });
    const rule: SyncRule = { ...ruleFor('x', {}), host: closed.host, repositories: undefined };
    const refusal = await rejection(mirror([rule]));
    expect(refusal).to.be.instanceOf(AuthenticationError);
    expect(refusal.message).to.include(closed.host);
  });

  it('mirrors all of a registry, and refuses to send two repositories to one place', async () => {
    const whole = await startDockerRegistry();
    try {
      for (const repository of ['a/one', 'b/one', 'two'])
        await putImage(whole.url, repository, '1', { layers: [repository] });
      const rule: SyncRule = { ...ruleFor('x', {}), host: whole.host, repositories: undefined };
      expect(await mirror([{ ...rule, targets: [{ host: target.host, prefix: 'all', keep: 'path' }] }])).to.include({
        ...{ repositories: 3, copied: 3 },
      });
      expect((await digestsOf(target.url, 'all/b/one')).size).to.equal(1);
      const clash = { ...rule, targets: [{ host: target.host, prefix: 'base', keep: 'base' }] } as const;
      expect((await rejection(mirror([clash]))).message).to.include('would both go to');
    } finally {
      await whole.stop();
    }
  });
});

describe('operations/sync against a model', () => {
  const suite = scriptedSuite();
  let directory: string;
  let servers: RunningServer[];
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-sync-'));
    servers = [];
    for (const name of ['source', 'one', 'two'])
      servers.push(await startRegistryServer({ dir: join(directory, name) }));
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.close()));
    await rm(directory, { recursive: true });
  });

  it('targets equal the model after each run, whatever was set, moved and removed between', async function () {
    const { seed, below } = randomSource();
    this.test!.title += ` (seed ${seed})`;
    const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
    const [source, ...targets] = servers.map(({ host, port }) => `${host}:${port}`);
    const url = `http://${source!}`;
    const model = new Map<string, string>();
    const protectedTags = new Map<string, Map<string, string>>(targets.map((name) => [name, new Map()]));
    const rule: SyncRule = {
      ...{ host: source!, repositories: ['model/app'], platforms: [], referrers: false, hook: [] },
      tags: ALL_TAGS,
      targets: targets.map((host) => ({ host, prefix: '', keep: 'path' })),
      deleteExtra: { maxDelete: 100, protect: ['keep-*'] },
    };
    for (let round = 0; round < 8; round++) {
      for (let step = 0; step < 4; step++) {
        const tag = `t${below(6)}`;
        if (below(5) === 0 && model.size > 1 && model.has(tag)) {
          await fetch(`${url}/v2/model/app/manifests/${tag}`, { method: 'DELETE' });
          model.delete(tag);
        } else {
          const layers = [pick(['base', 'other']), `layer ${below(4)}`];
          const image = await putImage(url, 'model/app', tag, { layers, label: pick(['a', 'b']) });
          model.set(tag, image.digest);
        }
      }
      const name = pick(targets);
      const label = below(2) === 0 ? 'keep-x' : `extra${round}`;
      const stray = await putImage(`http://${name}`, 'model/app', label, { layers: ['base'], label: pick(['a', 's']) });
      if (label === 'keep-x') protectedTags.get(name)!.set('keep-x', stray.digest);
      await sync(
        {
          registry: suite.client(),
          progress: { event: () => undefined, note: () => undefined },
          registryFor: () => Promise.reject(new Error('no rule asks for it')),
          memory: new Map(),
          parallel: 4,
          recordDeletion: () => Promise.resolve(),
          runHook: () => Promise.resolve(),
        },
        { rules: [rule], dryRun: false, keepGoing: false, signal: never },
      );
      for (const target of targets) {
        const want = new Map([...model, ...protectedTags.get(target)!]);
        expect([...(await digestsOf(`http://${target}`, 'model/app'))], `round ${round}`).to.deep.equal(
          [...want].sort(([a], [b]) => (a < b ? -1 : 1)),
        );
      }
    }
  });
});
