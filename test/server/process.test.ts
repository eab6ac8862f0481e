import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import { digestOf } from '../../lib/spec/index.js';

const MEGABYTE = 2 ** 20;

describe('server: as a process of its own', () => {
  let dir: string;
  let child: ChildProcess;
  let url: string;

  const launch = async (): Promise<void> => {
    const room = new URL('../../lib/server/index.js', import.meta.url);
    const program = `import { startRegistryServer } from ${JSON.stringify(room.href)};
      const server = await startRegistryServer({ dir: process.argv[1] });
      process.stdout.write(server.url);`;
    child = spawn(process.execPath, ['--input-type=module', '-e', program, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    url = String((await once(child.stdout!, 'data'))[0]);
  };
  const kill = async (): Promise<void> => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'imgtool-server-'));
    await launch();
  });
  afterEach(async () => {
    await kill();
    await rm(dir, { recursive: true, force: true });
  });

  it('goes on where kill -9 cut an upload', async () => {
    const bytes = randomBytes(8 * MEGABYTE);
    const { headers } = await fetch(`${url}/v2/a/blobs/uploads/`, { method: 'POST' });
    const location = headers.get('location')!;
    const upload = request(`${url}${location}`, { method: 'PATCH', headers: { 'content-length': bytes.length } });
    upload.on('error', () => undefined);
    upload.write(bytes.subarray(0, 5 * MEGABYTE));
    const rangeEnd = async (): Promise<number> => {
      const status = await fetch(`${url}${location}`);
      expect(status.status).to.equal(204);
      return Number(status.headers.get('range')!.slice(2));
    };
    while ((await rangeEnd()) < MEGABYTE);
    await kill();
    await launch();
    const offset = (await rangeEnd()) + 1;
    expect(offset).to.be.within(MEGABYTE, 5 * MEGABYTE);
    const done = await fetch(`${url}${location}?digest=${digestOf(bytes)}`, {
      method: 'PUT',
      body: bytes.subarray(offset),
      headers: { 'content-range': `${offset}-${bytes.length - 1}` },
    });
    expect(done.status).to.equal(201);
    const got = await (await fetch(`${url}/v2/a/blobs/${digestOf(bytes)}`)).arrayBuffer();
    expect(Buffer.from(got).equals(bytes)).to.equal(true);
  });

  it('needs no more memory for a blob of 200 MB than for one of 40 MB', async () => {
    const block = randomBytes(MEGABYTE);
    const peakMegabytes = async (): Promise<number> => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024;
    };
    const roundTrip = async (megabytes: number): Promise<void> => {
      const hash = createHash('sha256');
      for (let count = 0; count < megabytes; count++) hash.update(block);
      const digest = `sha256:${hash.digest('hex')}`;
      const put = request(`${url}/v2/a/blobs/uploads/?digest=${digest}`, { method: 'POST' });
      const answered = once(put, 'response') as Promise<[{ statusCode: number }]>;
      await pipeline(Readable.from(Array.from({ length: megabytes }, () => block)), put);
      expect((await answered)[0].statusCode).to.equal(201);
      const got = createHash('sha256');
      for await (const chunk of (await fetch(`${url}/v2/a/blobs/${digest}`)).body!) got.update(chunk as Uint8Array);
      expect(`sha256:${got.digest('hex')}`).to.equal(digest);
    };
    await roundTrip(40);
    const small = await peakMegabytes();
    await roundTrip(200);
    expect((await peakMegabytes()) - small).to.be.below(60);
  });
});
