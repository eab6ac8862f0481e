/** `npm run soak:queue`: 2,000 tags while one of 4 workers is killed every 2 s and Redis is restarted; then 1 against 4 workers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDelayingProxy } from '../helpers/delaying-proxy.js';
import { startDockerRegistry } from '../helpers/docker-registry.js';
import { startServe } from '../helpers/imgtool.js';
import { startRedisServer } from '../helpers/redis-server.js';
import { fillSource, killWorkers } from './kill-workers.js';

const TAGS = Number(process.env.IMGTOOL_SOAK_TAGS ?? 2000);
const DELAY_MS = 50;

const directory = await mkdtemp(join(tmpdir(), 'imgtool-soak-'));
const [served, redis] = await Promise.all([startServe(directory), startRedisServer()]);
const source = { host: served.host, url: `http://${served.host}` };
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Copies all of the source to an empty registry. */
async function copyAll(tags: number, how: { workers: number; killEveryMs: number; delayMs: number; parallel: number }) {
  const target = await startDockerRegistry();
  const proxy = await startDelayingProxy(target.host, how.delayMs);
  try {
    const place = how.delayMs === 0 ? target : proxy;
    const scenario = {
      source,
      target: place,
      redis,
      repositories: 4,
      tagsOfEach: tags / 4,
      maxKills: Infinity,
      ...how,
    };
    const { seconds, kills, report } = await killWorkers(scenario);
    const { copied, upToDate, failed } = report;
    if (copied + upToDate !== tags || failed !== 0)
      throw new Error(`${copied + upToDate} of ${tags} tags, ${failed} failed`);
    say(
      `${how.workers} workers: ${tags} tags in ${seconds.toFixed(1)} s, ${(tags / seconds).toFixed(1)} a second, ${kills} kills`,
    );
    return seconds;
  } finally {
    await proxy.stop();
    await target.stop();
  }
}

try {
  const few = Math.min(200, TAGS);
  await fillSource(source.url, 4, few / 4);
  const slow = { killEveryMs: 0, delayMs: DELAY_MS, parallel: 1 };
  const ratio = (await copyAll(few, { ...slow, workers: 1 })) / (await copyAll(few, { ...slow, workers: 4 }));
  say(`4 workers are ${ratio.toFixed(2)} times as fast as 1 on a registry that is ${DELAY_MS} ms away`);
  await fillSource(source.url, 4, TAGS / 4);
  await copyAll(TAGS, { workers: 4, killEveryMs: 2000, delayMs: 0, parallel: 2 });
  if (ratio < 3) throw new Error(`only ${ratio.toFixed(2)} times as fast`);
} finally {
  await served.stop();
  await redis.stop();
  await rm(directory, { recursive: true });
}
