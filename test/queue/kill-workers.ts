/** Copies many tags through a queue while workers are killed and Redis is restarted; for the tests and for `npm run soak:queue`. */
import { expect } from 'chai';
import type { SyncReport } from '../../lib/operations/index.js';
import { mapLimited } from '../../lib/util/index.js';
import { digestsOf, putImage } from '../helpers/artifacts.js';
import type { RedisServer } from '../helpers/redis-server.js';
import { WorkerProcesses, type Ended } from '../helpers/worker-processes.js';

/** How much, and how rough. */
export interface Scenario {
  readonly source: { readonly host: string; readonly url: string };
  readonly target: { readonly host: string; readonly url: string };
  readonly redis: RedisServer;
  readonly repositories: number;
  readonly tagsOfEach: number;
  readonly workers: number;
  /** One worker is killed, and another started, so often. Milliseconds; 0: never. */
  readonly killEveryMs: number;
  readonly maxKills: number;
  readonly parallel: number;
}

/** What was seen. */
export interface Seen {
  readonly ended: Ended;
  readonly report: SyncReport;
  readonly kills: number;
  readonly seconds: number;
}

/** Fills the source: small images of a layer that all of a repository share and one of their own. */
export async function fillSource(url: string, repositories: number, tagsOfEach: number): Promise<void> {
  // docker-registry cannot take the same blob twice at the same time.
  const numbers = Array.from({ length: repositories }, (_, i) => i);
  await mapLimited(numbers, repositories, async (i) => {
    for (let tag = 0; tag < tagsOfEach; tag++)
      await putImage(url, `many/app${i}`, `t${tag}`, {
        layers: [`shared ${i}`, `own ${i} ${tag}`],
        label: `${i} ${tag}`,
      });
  });
}

/** Runs it and checks that every tag arrived as it is. */
export async function killWorkers(scenario: Scenario): Promise<Seen> {
  const { source, target, redis, repositories, workers, killEveryMs, maxKills } = scenario;
  const options = ['--take-over', '1', '--parallel', `${scenario.parallel}`];
  const processes = await WorkerProcesses.open(redis.url, options);
  try {
    const running = Array.from({ length: workers }, () => processes.start());
    const started = performance.now();
    let done = false;
    const sync = processes
      .run('sync', `${source.host}/`, target.host, '--json', '--attempts', '20')
      .finally(() => (done = true));
    let kills = 0;
    const restart = killEveryMs === 0 ? Promise.resolve() : restartOnce(redis, target.url, () => done);
    for (let next = performance.now() + killEveryMs; killEveryMs > 0 && !done && kills < maxKills;) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (performance.now() < next || done) continue;
      next = performance.now() + killEveryMs;
      const victim = running.splice(kills % workers, 1)[0]!;
      await processes.kill(victim.child);
      running.push(processes.start());
      kills++;
    }
    const ended = await sync;
    const seconds = (performance.now() - started) / 1000;
    await restart;
    expect(ended.code, ended.stderr).to.equal(0);
    for (let i = 0; i < repositories; i++) {
      const wanted = await digestsOf(source.url, `many/app${i}`);
      expect(wanted.size).to.equal(scenario.tagsOfEach);
      expect([...(await digestsOf(target.url, `many/app${i}`))]).to.deep.equal([...wanted]);
    }
    return { ended, report: JSON.parse(ended.stdout) as SyncReport, kills, seconds };
  } finally {
    await processes.close();
  }
}

/** Once the first tags are there. */
async function restartOnce(redis: RedisServer, target: string, isDone: () => boolean): Promise<void> {
  while (!isDone()) {
    const response = await fetch(`${target}/v2/many/app0/tags/list`);
    await response.arrayBuffer();
    if (response.ok) return redis.restart(500);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
