import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createContentStore, type ContentStore } from '../../lib/content/index.js';
import { createRegistryClient, type RegistryClient } from '../../lib/registry/index.js';
import { drained } from '../helpers/counting-proxy.js';
import { rejection } from '../helpers/rejection.js';
import { begin, descriptorOf } from '../suites/content-store.js';
import { fetchBlob } from '../../lib/operations/download/index.js';

const MiB = 1024 * 1024;
const { signal } = new AbortController();

/** How the server behaves; bytes of each GET are counted. */
interface Behaviour {
  /** Ranges are honoured as long as this says so; default: always. */
  readonly ranges?: (request: number) => boolean;
  /** Bytes of a body after which its connection is destroyed. */
  readonly cutAt?: number;
  /** Waits before each 64 KiB. Milliseconds. */
  readonly pauseMs?: number;
  /** Status of a range request that starts here or later, instead of bytes; `all`: of every request after it too. */
  readonly refuseFrom?: { readonly offset: number; readonly status: number; readonly all?: boolean };
}

describe('operations/receive-parts', () => {
  const bytes = randomBytes(26 * MiB);
  const descriptor = descriptorOf(bytes);
  let root: string;
  let content: ContentStore;
  let client: RegistryClient | undefined;
  let closing: (() => void)[];
  beforeEach(async () => {
    closing = [];
    root = await mkdtemp(join(tmpdir(), 'imgtool-parts-'));
    content = createContentStore({ root });
  });
  afterEach(async () => {
    await client?.close();
    for (const close of closing) close();
    await rm(root, { recursive: true });
  });

  async function serve(
    behaviour: Behaviour,
  ): Promise<{ host: string; ranges: string[]; sent: () => number; most: () => number }> {
    const ranges: string[] = [];
    let [sent, active, most] = [0, 0, 0];
    let gone = false;
    const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const range = request.headers.range ?? '';
      ranges.push(range);
      const match = /^bytes=(\d+)-(\d*)$/.exec(range);
      const honoured = match !== null && (behaviour.ranges?.(ranges.length) ?? true);
      const start = honoured ? Number(match[1]) : 0;
      const end = honoured && match[2] !== '' ? Number(match[2]) + 1 : bytes.length;
      const refused = behaviour.refuseFrom;
      if (refused !== undefined && (gone || start >= refused.offset)) {
        gone = refused.all === true;
        response.writeHead(refused.status).end();
        return;
      }
      response.writeHead(honoured ? 206 : 200, {
        'content-length': end - start,
        ...(honoured ? { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` } : {}),
      });
      const stop = Math.min(end, start + (behaviour.cutAt ?? Infinity));
      most = Math.max(most, ++active);
      for (let at = start; at < stop && !response.destroyed; at += 65536) {
        const piece = bytes.subarray(at, Math.min(stop, at + 65536));
        sent += piece.length;
        if (!response.write(piece)) await drained(response);
        if (behaviour.pauseMs !== undefined) await sleep(behaviour.pauseMs);
      }
      active--;
      if (stop === end) response.end();
      else {
        // What was written reaches the client before the end does.
        await sleep(5);
        response.socket?.end();
      }
    };
    const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { host: `127.0.0.1:${port}`, ranges, sent: () => sent, most: () => most };
  }
  async function fetch(host: string, connections?: number): Promise<number[]> {
    client = createRegistryClient({ retries: 0, ...(connections === undefined ? {} : { connections }) });
    const reader = await client.open({ host, repository: 'a/b' }, { signal });
    const told: number[] = [];
    await fetchBlob(reader.blob(descriptor), await begin(content, descriptor), {
      signal,
      backoffBaseMs: 1,
      onProgress: (at) => told.push(at),
    });
    return told;
  }
  const expectPublished = async (): Promise<void> => {
    expect((await content.stat(descriptor.digest))?.size).to.equal(bytes.length);
    expect((await content.read(descriptor.digest, { maxBytes: bytes.length })).equals(bytes)).to.equal(true);
  };

  it('fetches several parts at once, none twice, and tells a progress that only grows', async () => {
    const server = await serve({ pauseMs: 1 });
    const told = await fetch(server.host, 4);
    await expectPublished();
    expect(server.most()).to.be.within(2, 4);
    expect(server.sent()).to.equal(bytes.length);
    expect(server.ranges[0]).to.equal(`bytes=0-${4 * MiB - 1}`);
    expect(server.ranges).to.have.length(7);
    expect(told).to.deep.equal([...told].sort((a, b) => a - b));
    expect(told.at(-1)).to.equal(bytes.length);
  });

  it('needs two requests where one connection is quick, one where a single connection was asked for', async () => {
    const one = await serve({});
    await fetch(one.host, 1);
    expect(one.ranges).to.deep.equal(['']);
    await content.delete(descriptor.digest);
    await client?.close();
    const server = await serve({});
    await fetch(server.host);
    await expectPublished();
    // A machine under load may take its connection for a slow one.
    expect([2, 7]).to.include(server.ranges.length);
    expect(server.sent()).to.equal(bytes.length);
  });

  it('takes all from the first answer of a server that ignores ranges', async () => {
    const server = await serve({ ranges: () => false });
    await fetch(server.host, 4);
    await expectPublished();
    expect(server.ranges).to.have.length(1);
  });

  it('goes on in one stream when ranges are honoured no more', async () => {
    const server = await serve({ ranges: (request) => request <= 2 });
    await fetch(server.host, 4);
    await expectPublished();
  });

  it('goes on where a connection broke, with nothing fetched twice', async () => {
    const server = await serve({ cutAt: MiB });
    await fetch(server.host, 4);
    await expectPublished();
    expect(server.ranges.length).to.be.at.least(26);
    // One block a cut may be lost on its way.
    expect(server.sent()).to.be.at.most(bytes.length + server.ranges.length * 65536);
  });

  for (const status of [400, 403, 404, 500, 501])
    it(`asks for the whole where a later part is refused by ${status}`, async () => {
      const server = await serve({ refuseFrom: { offset: 12 * MiB, status } });
      await fetch(server.host, 3);
      await expectPublished();
      expect(server.ranges.at(-1)).to.equal('');
    });

  it('keeps the beginning for the next run when a later part fails', async () => {
    const server = await serve({ refuseFrom: { offset: 12 * MiB, status: 403, all: true } });
    await rejection(fetch(server.host, 3));
    const ingest = await begin(content, descriptor);
    expect(ingest.offset).to.be.within(4 * MiB, 12 * MiB);
    await ingest.release();
    await client?.close();
    const whole = await serve({});
    await fetch(whole.host, 3);
    await expectPublished();
    expect(whole.sent()).to.equal(bytes.length - Number(/\d+/.exec(whole.ranges[0]!)![0]));
  });
});
