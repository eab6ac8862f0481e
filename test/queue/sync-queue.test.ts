import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { TagLimits } from '../../lib/imgtool/index.js';
import { parseTagJob, readSyncFile, type SyncReport } from '../../lib/operations/index.js';
import { JobQueue, parseQueueAddress, parseRate, type FinishedJob } from '../../lib/queue/index.js';
import { digestsOf, putImage } from '../helpers/artifacts.js';
import { startDelayingProxy } from '../helpers/delaying-proxy.js';
import { freePort, startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { startServe } from '../helpers/imgtool.js';
import { rejection } from '../helpers/rejection.js';
import { startRedisServer, type RedisServer } from '../helpers/redis-server.js';
import { makeSelfSigned } from '../helpers/self-signed.js';
import { WorkerProcesses } from '../helpers/worker-processes.js';
import { fillSource, killWorkers } from './kill-workers.js';

describe('sync --queue', () => {
  let source: DockerRegistry;
  let target: DockerRegistry;
  let redis: RedisServer;
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-queue-'));
    [source, target, redis] = await Promise.all([startDockerRegistry(), startDockerRegistry(), startRedisServer()]);
  });
  after(async () => {
    await Promise.all([source.stop(), target.stop(), redis.stop()]);
    await rm(directory, { recursive: true });
  });

  it('brings every tag although workers are killed and Redis is restarted', async () => {
    const served = await startServe(join(directory, 'served'));
    try {
      const many = { host: served.host, url: `http://${served.host}` };
      await fillSource(many.url, 3, 25);
      const seen = await killWorkers({
        ...{ source: many, target, redis, repositories: 3, tagsOfEach: 25, workers: 4, parallel: 2 },
        ...{ killEveryMs: 1000, maxKills: 2 },
      });
      const { copied, upToDate, failed } = seen.report;
      expect(copied + upToDate).to.equal(75);
      expect(failed).to.equal(0);
      expect(seen.ended.stderr).to.include('retrying until it is back');
    } finally {
      await served.stop();
    }
  });

  it('reports as sync does, removes what is extra, lists what is dead, and gives back what a worker has', async () => {
    const workers = await WorkerProcesses.open(redis.url);
    try {
      for (const tag of ['1', '2']) await putImage(source.url, 'few/app', tag, { layers: [tag] });
      await putImage(target.url, 'few/app', 'old', { layers: ['old'] });
      const worker = workers.start();
      const to = `${target.host}/few/app`;
      const first = await workers.run('sync', `${source.host}/few/app`, to, '--delete-extra', '--json');
      expect(first.code, first.stderr).to.equal(0);
      expect(JSON.parse(first.stdout)).to.include({ copied: 2, deleted: 1, failed: 0, repositories: 1 });
      expect([...(await digestsOf(target.url, 'few/app'))]).to.deep.equal([
        ...(await digestsOf(source.url, 'few/app')),
      ]);

      const second = JSON.parse(
        (await workers.run('sync', `${source.host}/few/app`, to, '--json')).stdout,
      ) as SyncReport;
      expect(second).to.deep.include({ copied: 0, upToDate: 2, deleted: 0, failed: 0, tags: [] });

      const third = await workers.run('sync', `${source.host}/few/app:none`, to);
      expect(third.code).to.equal(10);
      expect(third.stderr).to.include(`has no tag none`);
      const dead = await workers.run('worker', '--list-dead', '--json');
      expect(JSON.parse(dead.stdout)).to.have.length(1);
      expect(dead.stdout).to.include('has no tag none');

      worker.child.kill('SIGTERM');
      const { code, stdout, stderr } = await worker.ended;
      expect(code, stderr).to.equal(0);
      expect(stdout).to.include(`copied ${source.host}/few/app:1 -> ${to}:1`);
    } finally {
      await workers.close();
    }
  });

  it('gives back what it is interrupted in, and others do it', async () => {
    // Held back until it is let go: nothing ends before the first worker has.
    let held = true;
    const asked: (() => void)[] = [];
    const gate = await startDelayingProxy(source.host, (path) =>
      held && path.includes('/manifests/') ? new Promise<void>((go) => asked.push(go)) : Promise.resolve(),
    );
    const workers = await WorkerProcesses.open(redis.url, ['--take-over', '60']);
    try {
      for (const tag of ['1', '2', '3']) await putImage(source.url, 'held/app', tag, { layers: [`held ${tag}`] });
      const first = workers.start();
      const to = `${target.host}/held/app`;
      const tags = ['1', '2', '3'].map((tag) => `      - "${tag}"`).join('\n');
      const file = join(directory, 'mirrors.yaml');
      await writeFile(file, `sync:\n  - source: ${gate.host}/held/app\n    target: ${to}\n    tags:\n${tags}\n`);
      const sync = workers.run('sync', file, '--json', '--rate', '100/s');
      while (asked.length === 0) await sleep(50);
      first.child.kill('SIGTERM');
      expect((await first.ended).code).to.equal(0);
      held = false;
      for (const go of asked) go();
      workers.start();
      const { code, stdout, stderr } = await sync;
      expect(code, stderr).to.equal(0);
      expect(JSON.parse(stdout)).to.include({ copied: 3, failed: 0 });
    } finally {
      await workers.close();
      await gate.stop();
    }
  });

  it('keeps to the limit of a target over all workers', async () => {
    let asked = 0;
    const far = await startDelayingProxy(target.host, (path) => {
      if (/\/limited\/.*\/manifests\/t\d$/.test(path)) asked++;
      return Promise.resolve();
    });
    const workers = await WorkerProcesses.open(redis.url);
    try {
      const tags = Array.from({ length: 9 }, (_, i) => `t${i}`);
      for (const tag of tags) await putImage(source.url, 'limited/app', tag, { layers: ['limited'], label: tag });
      for (let i = 0; i < 2; i++) workers.start();
      const to = `${far.host}/limited/app`;
      const { code, stdout, stderr } = await workers.run(
        ...['sync', `${source.host}/limited/app`, to, '--json', '--rate', `${far.host}=4/s`],
      );
      expect(code, stderr).to.equal(0);
      const report = JSON.parse(stdout) as SyncReport;
      expect(report).to.include({ copied: 9, failed: 0 });
      // Four in each second: the ninth begins two seconds after the first.
      expect(report.seconds).to.be.at.least(1.9);
      // HEAD and PUT of each.
      expect(asked).to.equal(18);
    } finally {
      await workers.close();
      await far.stop();
    }
  });

  it('says when Redis cannot be reached, or does not take the password, and never shows it', async () => {
    const port = await freePort();
    const locked = await startRedisServer(['--requirepass', 'right-secret']);
    const workers = await WorkerProcesses.open(`redis://127.0.0.1:${port}`);
    try {
      const args = ['sync', `${source.host}/few/app`, `${target.host}/few/app`];
      const url = `redis://:wrong-secret@127.0.0.1:${locked.port}`;
      const [away, wrong, none, bad] = await Promise.all([
        workers.run('worker'),
        workers.run(...args, '--queue', url, '--log-level', 'debug'),
        workers.run('worker', '--queue', `redis://127.0.0.1:${locked.port}`),
        workers.run('worker', '--queue', 'redis://:wrong-secret@127.0.0.1/x'),
      ]);
      expect(away).to.include({ code: 5, stdout: '' });
      expect(away.stderr)
        .to.include(`cannot reach redis://127.0.0.1:${port}: connect ECONNREFUSED`)
        .and.include('hint: ');
      expect(wrong.code, wrong.stderr).to.equal(4);
      expect(wrong.stderr).to.include('does not accept this user and password');
      expect(none.code, none.stderr).to.equal(4);
      expect(none.stderr).to.include('requires a password');
      expect(bad.code).to.equal(2);
      for (const { stderr } of [away, wrong, none, bad]) expect(stderr).not.to.match(/secret|WARN/);
      for (const { stderr } of [away, none, bad]) expect(stderr.trim().split('\n'), stderr).to.have.length(2);
    } finally {
      await workers.close();
      await locked.stop();
    }
  });

  it('speaks TLS and checks the certificate', async () => {
    const { key, cert } = await makeSelfSigned();
    const files = { certificate: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
    await writeFile(files.certificate, cert);
    await writeFile(files.key, key, { mode: 0o600 });
    const secure = await startRedisServer(['--requirepass', 'pass'], { tls: files });
    const url = secure.url.replace('//', '//default:pass@');
    const trusting = await WorkerProcesses.open(url, [], { NODE_EXTRA_CA_CERTS: files.certificate });
    const strict = await WorkerProcesses.open(url);
    try {
      const [list, refused] = await Promise.all([trusting.run('worker', '--list-dead'), strict.run('worker')]);
      expect(list.code, list.stderr).to.equal(0);
      expect(refused.code, refused.stderr).to.equal(5);
      expect(refused.stderr).to.include('NODE_EXTRA_CA_CERTS');
    } finally {
      await Promise.all([trusting.close(), strict.close()]);
      await secure.stop();
    }
  });

  it('lists dead jobs although others in the Redis are not of sync', async () => {
    const workers = await WorkerProcesses.open(redis.url);
    const queue = await JobQueue.open(parseQueueAddress(redis.url), {
      ...{ attempts: 1, backoffMs: 0, note: () => undefined, signal: new AbortController().signal },
    });
    try {
      const worker = workers.start();
      const strange = { id: 'strange', lane: source.host, payload: { v: 1, tag: '$(touch X)' } };
      const ended: FinishedJob[] = [];
      await queue.put([strange], (_item, job) => void ended.push(job));
      await queue.settled();
      expect(ended.map(({ state }) => state)).to.deep.equal(['dead']);
      const { code, stderr } = await workers.run('worker', '--list-dead');
      expect(code, stderr).to.equal(0);
      expect(stderr).to.include('1 jobs in the queue are not of sync');
      expect(worker.child.exitCode).to.equal(null);
    } finally {
      await Promise.all([queue.close(), workers.close()]);
    }
  });

  it('is not loaded with the program', async () => {
    const names = (await readdir('dist/bundle')).filter((name) => name.endsWith('.js'));
    const texts = await Promise.all(names.map((name) => readFile(join('dist/bundle', name), 'utf8')));
    const ofQueue = names.filter((_, i) => /^\/\/ (?:\S*\/)?node_modules\/(?:bullmq|ioredis)\//m.test(texts[i]!));
    expect(ofQueue).to.not.deep.equal([]).and.not.include('imgtool.js');
    const importedBy = (name: string): string[] =>
      [...texts[names.indexOf(name)]!.matchAll(/^(?:import |\} from |export \* from )"\.\/([^"]+)";$/gm)].map(
        ([, other]) => other!,
      );
    const loaded = new Set(['imgtool.js']);
    for (const name of loaded) for (const other of importedBy(name)) loaded.add(other);
    expect(loaded.size).to.be.greaterThan(1);
    expect(ofQueue.filter((name) => loaded.has(name))).to.deep.equal([]);
  });

  it('reads addresses and rates, and only jobs of its own', async () => {
    expect(parseQueueAddress('rediss://me:p%40ss@[::1]:7000/3')).to.deep.equal({
      ...{ host: '::1', port: 7000, username: 'me', password: 'p@ss', database: 3, tls: true },
      text: 'rediss://[::1]:7000/3',
    });
    for (const bad of ['', 'localhost', 'http://h', 'redis://', 'redis://h/x', 'redis://:%zz@h', 'redis://h?x=secret'])
      expect(() => parseQueueAddress(bad))
        .to.throw(UsageError)
        .with.property('message')
        .not.includes('secret');
    expect(parseRate('100/6h')).to.deep.equal({ jobs: 100, everyMs: 21_600_000 });
    expect(parseRate('5/s')).to.deep.equal({ jobs: 5, everyMs: 1000 });
    expect(parseRate('none')).to.equal(undefined);
    for (const bad of ['', '5', '0/s', '5/0s', '5/y']) expect(() => parseRate(bad)).to.throw(UsageError);
    const place = { host: 'a.example', repository: 'b' };
    const rules = await readSyncFile('sync: [{source: a.example/b, targets: [t.example/b, u.example/b]}]', 'm.yaml', {
      ...{ targets: [], scoped: false },
    });
    const limits = (...given: string[]): Promise<TagLimits> =>
      TagLimits.read(given, rules, (text) => Promise.resolve(parseRate(text)));
    const item = { id: 'x', lane: 'a.example', payload: { targets: [place, { host: 't.example' }] } };
    expect((await limits('5/s')).laneOf(item)).to.equal('a.example');
    expect([...(await limits('5/s', 'a.example=1/s')).rates]).to.deep.equal([
      ['a.example', { jobs: 1, everyMs: 1000 }],
    ]);
    expect((await limits('none', 't.example=1/s')).laneOf(item)).to.equal('t.example');
    for (const bad of [['x.example=1/s'], ['5/s', 't.example=1/s'], ['t.example=1/s', 'u.example=1/s'], ['t.example=']])
      expect(await rejection(limits(...bad)), bad.join()).to.be.instanceOf(UsageError);
    const job = { v: 1, source: place, tag: '1', targets: [place], platforms: [], referrers: false, listed: true };
    expect(parseTagJob(job)).to.deep.equal(job);
    for (const wrong of [
      { v: 2 },
      { tag: '../x' },
      { source: { ...place, host: 'a/b' } },
      { targets: [] },
      { platforms: [1] },
    ])
      expect(() => parseTagJob({ ...job, ...wrong }), JSON.stringify(wrong)).to.throw();
    expect(() => parseTagJob(null)).to.throw(UsageError);
  });
});
