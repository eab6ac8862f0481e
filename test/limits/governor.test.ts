import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createHttpClient, type HttpClient } from '../../lib/http/index.js';
import {
  afterRefusal,
  Governor,
  parseLimitHeaders,
  parseLimitState,
  sharedClock,
  takeTurn,
} from '../../lib/limits/index.js';
import { startScript, type ScriptedServer } from '../helpers/scripted-registry.js';
import { rejection } from '../helpers/rejection.js';

const HOST = 'registry.example:5000';
const { signal } = new AbortController();

describe('limits/governor', () => {
  let directory: string;
  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'imgtool-test-governor-')), 'imgtool');
  });
  afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }));

  const governor = (): Governor => new Governor({ directory, parallel: 6 });
  const file = (): string => join(directory, `limits-${encodeURIComponent(HOST)}.json`);
  const refuse = (who: Governor, retryAfter = '0.3'): Promise<void> =>
    who.answered(HOST, { status: 429, headers: { 'retry-after': retryAfter }, sentAt: sharedClock() });
  const turnMs = async (who: Governor): Promise<number> => {
    const started = performance.now();
    await who.turn(HOST, signal);
    return performance.now() - started;
  };

  describe('between processes', () => {
    it('makes no file and waits for nothing while no limit is seen', async () => {
      const one = governor();
      await one.turn(HOST, signal);
      await one.answered(HOST, { status: 200, headers: {}, sentAt: sharedClock() });
      await one.answered(HOST, {
        status: 200,
        headers: { 'ratelimit-remaining': '90;w=21600' },
        sentAt: sharedClock(),
      });
      expect(readdirSync(join(directory, '..'))).to.deep.equal([]);
    });

    it('holds the others back for as long as one was told to wait, then lets them go one by one', async () => {
      const [one, other] = [governor(), governor()];
      const started = performance.now();
      await refuse(one);
      expect(statSync(directory).mode & 0o777).to.equal(0o700);
      expect(statSync(file()).mode & 0o777).to.equal(0o600);
      // From the refusal on: how late a turn comes to its own is a matter of the machine.
      const turnAt = async (who: Governor): Promise<number> => {
        await who.turn(HOST, signal);
        return performance.now() - started;
      };
      const [first, second, third] = (await Promise.all([turnAt(other), turnAt(other), turnAt(one)])).sort(
        (a, b) => a - b,
      );
      expect(first).to.be.at.least(280);
      expect(second).to.be.at.least(430);
      expect(third).to.be.at.least(580);
    });

    it('burdens a host that refuses with fewer transfers at a time, then with more again', async () => {
      const [one, other] = [governor(), governor()];
      await refuse(one, '0.01');
      expect(one.parallel(HOST)).to.equal(3);
      for (let answers = 0; answers < 12; answers++) {
        await other.answered(HOST, { status: 200, headers: {}, sentAt: sharedClock() });
      }
      await other.turn(HOST, signal);
      expect(other.parallel(HOST)).to.equal(4);
    });

    it('ends a wait at once when it is aborted, and when the client is closed', async () => {
      const one = governor();
      await refuse(one, '60');
      const abort = new AbortController();
      const waiting = rejection(one.turn(HOST, abort.signal));
      abort.abort(new Error('stop'));
      expect((await waiting).message).to.equal('stop');
      const closing = one.turn(HOST, signal);
      one.close();
      await closing;
    });

    it('takes no notice of files that make no sense', async () => {
      mkdirSync(directory, { mode: 0o700 });
      const later = sharedClock() + 3_600_000;
      const state = { notBefore: later, nextTurn: later, perSecond: 1, parallel: 1, refusedAt: 0, heardAt: 0 };
      for (const text of ['{', 'null', '[]', '\0'.repeat(9000), JSON.stringify(state), '{"notBefore":"x"}']) {
        writeFileSync(file(), text);
        const one = governor();
        expect(await turnMs(one), text.slice(0, 80)).to.be.below(30_000);
        await refuse(one, '0.01');
        expect(parseLimitState(readFileSync(file(), 'utf8'), sharedClock()), text.slice(0, 80)).to.include({
          perSecond: 5,
        });
      }
    });

    it('keeps a limit to itself where the directory is not its own, or none at all', async () => {
      const elsewhere = join(directory, '..', 'elsewhere');
      mkdirSync(elsewhere);
      symlinkSync(elsewhere, directory);
      const refusedMs = async (who: Governor): Promise<number> => {
        const started = performance.now();
        await refuse(who);
        await who.turn(HOST, signal);
        return performance.now() - started;
      };
      expect(await refusedMs(governor())).to.be.at.least(280);
      expect(readdirSync(elsewhere)).to.deep.equal([]);
      rmSync(directory);
      mkdirSync(directory);
      chmodSync(directory, 0o777);
      await refuse(governor());
      expect(readdirSync(directory)).to.deep.equal([]);
      const nowhere = new Governor({ directory: '/proc/none/imgtool', parallel: 6 });
      expect(await refusedMs(nowhere)).to.be.at.least(280);
    });
  });

  describe('told beforehand', () => {
    it('goes slower from the half of a short window on, and waits where nothing is left', async () => {
      const tell = async (remaining: number, reset: string): Promise<number> => {
        const one = new Governor({ directory: undefined, parallel: 6 });
        const headers = {
          'ratelimit-limit': '20;w=2',
          'ratelimit-remaining': `${remaining}`,
          'ratelimit-reset': reset,
        };
        const started = performance.now();
        await one.answered(HOST, { status: 200, headers, sentAt: sharedClock() });
        await one.turn(HOST, signal);
        return performance.now() - started;
      };
      // The machine may be busy once.
      expect(Math.min(await tell(15, '1'), await tell(15, '1'), await tell(15, '1'))).to.be.below(90);
      expect(await tell(5, '1')).to.be.at.least(90);
      expect(await tell(0, '1')).to.be.at.least(950);
    });

    it('says once that little is left of a long window, and does not wait', async () => {
      const lines: string[] = [];
      const one = new Governor({ directory: undefined, parallel: 6, warn: (line) => lines.push(line) });
      const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '3;w=21600' };
      for (let i = 0; i < 2; i++) await one.answered(HOST, { status: 200, headers, sentAt: sharedClock() });
      expect(await turnMs(one)).to.be.below(30_000);
      expect(lines).to.deep.equal([`warning: ${HOST} allows only 3 more of 100 requests`]);
    });

    for (const [headers, expected] of [
      [
        { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' },
        { limit: 100, window: 21600, remaining: 76, reset: undefined },
      ],
      [
        { 'ratelimit-limit': '100, 100;w=60', 'ratelimit-remaining': '50', 'ratelimit-reset': '30' },
        { limit: 100, window: 60, remaining: 50, reset: 30 },
      ],
      [
        { ratelimit: 'limit=10, remaining=4, reset=5', 'ratelimit-policy': '10;w=60' },
        { limit: 10, window: 60, remaining: 4, reset: 5 },
      ],
      [
        { ratelimit: '"default";r=4;t=5', 'ratelimit-policy': '"default";q=10;w=60' },
        { limit: 10, window: 60, remaining: 4, reset: 5 },
      ],
      [
        { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '7', 'x-ratelimit-reset': '1700000030' },
        { limit: 60, window: undefined, remaining: 7, reset: 30 },
      ],
      [{ 'ratelimit-remaining': '-1' }, undefined],
      [{ 'ratelimit-limit': '5' }, undefined],
      [{ ratelimit: 'many' }, undefined],
    ] as const) {
      it(`reads ${JSON.stringify(headers)}`, () => {
        expect(parseLimitHeaders(headers, 1_700_000_000_000)).to.deep.equal(expected);
      });
    }
  });

  describe('the rate', () => {
    const refusal = (now: number, sentAt = now) => ({ now, sentAt, pauseMs: 1000, parallel: 6 });

    it('is halved by a refusal, but once by those under way together, and grows by what succeeds', () => {
      const first = afterRefusal(undefined, refusal(1000));
      expect(first.perSecond).to.equal(5);
      expect(afterRefusal(first, refusal(1100, 900)).perSecond).to.equal(5);
      const second = afterRefusal(first, refusal(1500));
      expect(second.perSecond).to.equal(2.5);
      expect(takeTurn(second, { now: 3000, successes: 10 }).state?.perSecond).to.equal(3.5);
      let state = second;
      for (let i = 0; i < 20; i++) state = afterRefusal(state, refusal(2000 + i));
      expect(state.perSecond).to.equal(0.5);
    });

    it('is forgotten after five minutes without a refusal, and where much succeeds', () => {
      const state = afterRefusal(undefined, refusal(1000));
      expect(takeTurn(state, { now: 301_001, successes: 0 })).to.deep.equal({ at: 301_001, state: undefined });
      expect(takeTurn(state, { now: 3000, successes: 1000 }).state).to.equal(undefined);
    });

    it('makes nobody wait for more than two minutes', () => {
      let state = afterRefusal(undefined, refusal(0));
      for (let i = 0; i < 2000; i++) {
        const turn = takeTurn(state, { now: 0, successes: 0 });
        expect(turn.at).to.be.at.most(120_000);
        state = turn.state!;
      }
    });
  });

  describe('in clients', () => {
    let server: ScriptedServer;
    const clients: HttpClient[] = [];
    afterEach(async () => {
      for (const client of clients.splice(0)) await client.close();
      await server.close();
    });

    it('of two processes: a refusal of one holds the other back', async () => {
      server = await startScript([
        { method: 'GET', path: '/a', reply: { status: 429, headers: { 'retry-after': '0.5' } } },
        { method: 'GET', path: '/a', reply: {} },
        { method: 'GET', path: '/b', reply: {} },
      ]);
      const client = (): HttpClient => {
        const made = createHttpClient({ limitsDirectory: directory });
        clients.push(made);
        return made;
      };
      const started = performance.now();
      const first = client().request({ method: 'GET', url: `${server.url}/a`, signal, retries: 1 });
      // The refusal is on disk.
      const limits = join(directory, `limits-${encodeURIComponent(server.host)}.json`);
      while (!existsSync(limits)) await new Promise((resolve) => setTimeout(resolve, 5));
      expect((await client().request({ method: 'GET', url: `${server.url}/b`, signal })).status).to.equal(200);
      expect(performance.now() - started).to.be.at.least(500);
      expect((await first).status).to.equal(200);
      server.verify();
    });
  });
});
