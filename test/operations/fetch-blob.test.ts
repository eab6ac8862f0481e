import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createContentStore, type ContentStore } from '../../lib/content/index.js';
import { DigestMismatchError, NotFoundError, SizeMismatchError, TransportError } from '../../lib/errors.js';
import type { RegistryClientOptions } from '../../lib/registry/index.js';
import { rejection } from '../helpers/rejection.js';
import type { Reply, Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { begin, descriptorOf } from '../suites/content-store.js';
import { fetchBlob, type FetchBlobOptions, type FetchBlobResult } from '../../lib/operations/download/index.js';

const never = new AbortController().signal;

describe('operations/fetch-blob', () => {
  const suite = scriptedSuite();
  const bytes = randomBytes(300_000);
  const descriptor = descriptorOf(bytes);
  const path = `/v2/a/b/blobs/${descriptor.digest}`;
  let root: string;
  let content: ContentStore;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'imgtool-fetch-'));
    content = createContentStore({ root });
  });
  afterEach(() => rm(root, { recursive: true }));

  const whole = (reply: Partial<Reply> = {}): Step => ({
    method: 'GET',
    path,
    expect: { range: undefined },
    reply: { body: bytes, ...reply },
  });
  const rest = (offset: number, reply: Partial<Reply> = {}): Step => ({
    method: 'GET',
    path,
    expect: { range: `bytes=${offset}-` },
    reply: {
      status: 206,
      headers: { 'content-range': `bytes ${offset}-${bytes.length - 1}/${bytes.length}` },
      body: bytes.subarray(offset),
      ...reply,
    },
  });

  /** Fetches from a server with these steps, on top of `held` bytes of an earlier run. */
  async function fetch(
    steps: readonly Step[],
    options: Partial<FetchBlobOptions> & { held?: Buffer; client?: RegistryClientOptions } = {},
  ): Promise<FetchBlobResult> {
    const server = await suite.serve(...steps);
    const repository = await suite
      .client({ retries: 0, ...options.client })
      .open({ host: server.host, repository: 'a/b' }, { signal: never });
    if (options.held !== undefined) {
      const earlier = await begin(content, descriptor);
      await earlier.write(options.held);
      await earlier.release();
    }
    const ingest = await begin(content, descriptor);
    return fetchBlob(repository.blob(descriptor), ingest, { signal: never, backoffBaseMs: 1, ...options });
  }
  const expectPublished = async (): Promise<void> => {
    expect((await content.read(descriptor.digest)).equals(bytes)).to.equal(true);
    expect(await readdir(join(root, 'ingest'))).to.deep.equal([]);
  };
  const heldNow = async (): Promise<number> => {
    const ingest = await begin(content, descriptor);
    const { offset } = ingest;
    await ingest.release();
    return offset;
  };

  it('fetches in one request and tells how far it is', async () => {
    const told: number[] = [];
    const result = await fetch([whole()], { onProgress: (at) => told.push(at) });
    expect(result).to.deep.equal({ received: bytes.length, refetched: false });
    expect(told.at(-1)).to.equal(bytes.length);
    expect(told).to.deep.equal([...told].sort((a, b) => a - b));
    await expectPublished();
  });

  it('asks for the rest only of what an earlier run began', async () => {
    const result = await fetch([rest(123_456)], { held: bytes.subarray(0, 123_456) });
    expect(result.received).to.equal(bytes.length - 123_456);
    await expectPublished();
  });

  it('asks for nothing when an earlier run had all but the name', async () => {
    expect(await fetch([], { held: bytes })).to.deep.equal({ received: 0, refetched: false });
    await expectPublished();
  });

  it('goes on in the same run where a connection broke, as often as it takes while bytes come', async () => {
    const cuts = [70_000, 140_000, 210_000, 280_000];
    const steps = cuts.map((cut, i) => {
      const from = cuts[i - 1] ?? 0;
      return i === 0 ? whole({ cutAt: cut }) : rest(from, { cutAt: cut - from });
    });
    const retries: string[] = [];
    const result = await fetch([...steps, rest(280_000)], { retries: 1, onRetry: (line) => retries.push(line) });
    expect(result).to.deep.equal({ received: bytes.length, refetched: false });
    expect(retries).to.have.length(4);
    expect(retries[1]).to.include('resuming at byte 140000');
    await expectPublished();
  });

  it('goes on where a body ended early without a word', async () => {
    const result = await fetch([whole({ body: bytes.subarray(0, 1000), contentLength: 'none' }), rest(1000)]);
    expect(result.received).to.equal(bytes.length);
    await expectPublished();
  });

  it('gives up after so many breaks that brought next to nothing, and keeps what is here', async () => {
    const steps = [whole({ cutAt: 100 }), rest(100, { cutAt: 100 }), rest(200, { cutAt: 100 })];
    const error = await rejection(fetch(steps, { retries: 2 }));
    expect(error).to.be.instanceOf(TransportError);
    expect(error.message).to.include('in the middle of the body');
    expect(await heldNow()).to.equal(300);
  });

  it('takes a 200 to a Range from its start and skips what is here (case 31)', async () => {
    const result = await fetch([whole({ cutAt: 100_000 }), { ...rest(100_000), reply: { body: bytes } }]);
    expect(result).to.deep.equal({ received: bytes.length + 100_000, refetched: false });
    await expectPublished();
  });

  const other = randomBytes(bytes.length);
  const tagged = (etag: string, reply: Partial<Reply> = {}): Partial<Reply> => ({ headers: { etag }, ...reply });
  const range = `bytes 100000-${bytes.length - 1}/${bytes.length}`;
  for (const { what, first, answers, ok } of [
    {
      what: 'is another by now, which the server sees (If-Range)',
      first: tagged('"1"', { body: other }),
      answers: [tagged('"2"', { status: 200, body: bytes, headers: { etag: '"2"' } })],
      ok: true,
    },
    {
      what: 'is another by now, which only its tag tells',
      first: tagged('"1"', { body: other }),
      answers: [{ headers: { etag: '"2"', 'content-range': range } }, undefined],
      ok: true,
    },
    {
      what: 'has another length by now',
      first: tagged('"1"', { body: other }),
      answers: [{ headers: { 'content-range': 'bytes 100000-100009/100010' }, body: 'x'.repeat(10) }, undefined],
      ok: true,
    },
    {
      what: 'has gone bad meanwhile',
      first: tagged('"1"'),
      answers: [{ status: 200, headers: { etag: '"2"' }, body: other }],
      ok: false,
    },
    { what: 'has no such piece any more (412)', first: tagged('"1"'), answers: [{ status: 412 }, undefined], ok: true },
  ] as const)
    it(`the blob at the server ${what}: never wrong bytes`, async () => {
      const cut = whole({ ...first, cutAt: 100_000 });
      const steps = answers.map((reply) =>
        reply === undefined
          ? whole()
          : { ...rest(100_000, reply), expect: { range: 'bytes=100000-', 'if-range': '"1"' } },
      );
      // What comes whole after a part is tried behind what is here, and then from its start.
      const fetching = fetch([cut, ...steps, { ...whole(ok ? {} : { body: other }), optional: true }]);
      if (ok) {
        await fetching;
        await expectPublished();
      } else {
        expect(await rejection(fetching)).to.be.instanceOf(DigestMismatchError);
        expect(await readdir(join(root, 'ingest'))).to.deep.equal([]);
      }
    });

  it('sends no If-Range for a weak tag', async () => {
    const step = { ...rest(100_000), expect: { range: 'bytes=100000-', 'if-range': undefined } };
    await fetch([whole({ headers: { etag: 'W/"1"' }, cutAt: 100_000 }), step]);
    await expectPublished();
  });

  it('asks no more by tags that differ from server to server', async () => {
    const piece = (offset: number, etag: string, cutAt?: number): Step => ({
      ...rest(offset, {
        headers: { etag, 'content-range': `bytes ${offset}-${bytes.length - 1}/${bytes.length}` },
        ...(cutAt === undefined ? {} : { cutAt }),
      }),
    });
    const steps = [
      whole({ headers: { etag: '"a"' }, cutAt: 100_000 }),
      piece(100_000, '"b"'),
      whole({ headers: { etag: '"b"' }, cutAt: 200_000 }),
      { ...piece(200_000, '"c"'), expect: { range: 'bytes=200000-', 'if-range': undefined } },
    ];
    const { received } = await fetch(steps);
    expect(received).to.be.lessThan(bytes.length + 201_000);
    await expectPublished();
  });

  it('starts anew when the blob there ends before what is here (416)', async () => {
    const longer = Buffer.concat([bytes.subarray(0, 200_000), randomBytes(50_000)]);
    const result = await fetch([{ ...rest(250_000), reply: { status: 416 } }, whole(), whole()], { held: longer });
    expect(result.refetched).to.equal(true);
    await expectPublished();
  });

  it('fetches wrong bytes once more, from the start', async () => {
    const wrong = Buffer.from(bytes);
    wrong[299_999]! ^= 1;
    const retries: string[] = [];
    const result = await fetch([whole({ body: wrong }), whole()], { onRetry: (line) => retries.push(line) });
    expect(result).to.deep.equal({ received: 2 * bytes.length, refetched: true });
    expect(retries).to.have.length(1);
    await expectPublished();
  });

  it('fetches all of it when what an earlier run left was wrong', async () => {
    const result = await fetch([rest(100_000), whole()], { held: randomBytes(100_000) });
    expect(result).to.deep.equal({ received: 2 * bytes.length - 100_000, refetched: true });
    await expectPublished();
  });

  it('gives up on bytes that are wrong twice, and keeps none of them', async () => {
    const wrong = randomBytes(bytes.length);
    const error = await rejection(fetch([whole({ body: wrong }), whole({ body: wrong })]));
    expect(error).to.be.instanceOf(DigestMismatchError);
    expect(error.hint).to.include('none of it was kept');
    expect(await readdir(join(root, 'ingest'))).to.deep.equal([]);
  });

  for (const [what, body] of [
    ['longer', Buffer.concat([bytes, Buffer.from('x')])],
    ['shorter', bytes.subarray(1)],
  ] as const) {
    it(`refuses a blob that is ${what} than its manifest says (case 21)`, async () => {
      const steps = [whole({ body }), whole({ body })];
      // What came of a short one could be a beginning: the rest is asked for first.
      if (what === 'shorter') {
        const none: Step = { ...rest(bytes.length - 1), reply: { status: 416 } };
        steps.splice(1, 1, none, whole({ body }), whole({ body }), none, whole({ body }));
      }
      expect(await rejection(fetch(steps))).to.be.instanceOf(SizeMismatchError);
      expect(await readdir(join(root, 'ingest'))).to.deep.equal([]);
    });
  }

  it('goes on after a stall (case 31)', async () => {
    const result = await fetch([whole({ stallAt: 50_000 }), rest(50_000)], { client: { timeouts: { stallMs: 80 } } });
    expect(result.received).to.equal(bytes.length);
    await expectPublished();
  });

  it('takes one byte at a time (case 31)', async () => {
    const small = randomBytes(400);
    const one = descriptorOf(small);
    const server = await suite.serve({
      method: 'GET',
      path: `/v2/a/b/blobs/${one.digest}`,
      reply: { body: small, pieces: 1 },
    });
    const client = suite.client({ timeouts: { stallMs: 100 } });
    const repository = await client.open({ host: server.host, repository: 'a/b' }, { signal: never });
    await fetchBlob(repository.blob(one), await begin(content, one), { signal: never });
    expect((await content.read(one.digest)).equals(small)).to.equal(true);
  });

  describe('a non-distributable layer', () => {
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';
    const at = (url: string, reply: Reply, range?: string): Step => ({
      method: 'GET',
      path: url,
      expect: { range },
      reply,
    });
    async function fetchForeign(paths: readonly string[], steps: readonly Step[]): Promise<FetchBlobResult> {
      const server = await suite.serve(whole({ status: 404, body: '' }), ...steps);
      const urls = paths.map((name) => `${server.url}/${name}`);
      const repository = await suite
        .client({ retries: 0 })
        .open({ host: server.host, repository: 'a/b' }, { signal: never });
      const source = repository.blob({ ...descriptor, mediaType, urls });
      return fetchBlob(source, await begin(content, descriptor), { signal: never, backoffBaseMs: 1 });
    }

    it('comes from the first place that has it, and the next where it breaks', async () => {
      const cut = { headers: { etag: '"1"' }, cutAt: 100_000 };
      const { body: _body, ...end } = rest(100_000).reply as Reply;
      await fetchForeign(
        ['gone', 'short', 'breaks', 'whole'],
        [
          at('/gone', { status: 404 }),
          at('/short', { body: bytes.subarray(1) }),
          at('/breaks', { body: bytes, ...cut }),
          at('/breaks', { status: 503 }, 'bytes=100000-'),
          at('/whole', { ...end, body: bytes.subarray(100_000) }, 'bytes=100000-'),
        ],
      );
      await expectPublished();
    });

    it('is not taken from a place whose bytes are wrong', async () => {
      const result = await fetchForeign(
        ['wrong', 'bad', 'whole'],
        [
          at('/wrong', { body: randomBytes(bytes.length) }),
          at('/bad', { body: randomBytes(bytes.length) }),
          at('/whole', { body: bytes }),
        ],
      );
      expect(result).to.deep.equal({ received: 3 * bytes.length, refetched: true });
      await expectPublished();
    });

    it('is named, with what each place said, when none gives it', async () => {
      const error = await rejection(fetchForeign(['gone'], [at('/gone', { status: 410 })]));
      expect(error).to.be.instanceOf(NotFoundError);
      expect(error.message)
        .to.include(`layer ${descriptor.digest} is non-distributable (foreign)`)
        .and.include('/gone answered 410');
    });
  });

  it('does not ask again for what the registry has not', async () => {
    const error = await rejection(fetch([whole({ status: 404, body: '' })]));
    expect(error).to.be.instanceOf(NotFoundError);
  });

  it('ends at once when aborted and keeps what is here', async () => {
    const controller = new AbortController();
    const fetching = rejection(
      fetch([whole({ stallAt: 60_000 })], {
        signal: controller.signal,
        onProgress: (at) => {
          if (at === 60_000) controller.abort();
        },
      }),
    );
    const error = await Promise.race([fetching, sleep(60_000, undefined, { ref: false })]);
    expect(error?.name).to.equal('AbortError');
    expect(await heldNow()).to.equal(60_000);
  });
});
