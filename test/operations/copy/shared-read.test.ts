import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { mock } from 'node:test';
import { expect } from 'chai';
import { digestOf } from '../../../lib/spec/index.js';
import { SharedRead } from '../../../lib/operations/registry/index.js';

const { signal } = new AbortController();
const MIB = 1024 * 1024;
const BYTES = Buffer.from('bytes of a blob');

describe('operations/copy: one read for several', () => {
  let opened: number;
  const readOf = (readers: number): SharedRead =>
    new SharedRead(
      {
        descriptor: { mediaType: 'application/octet-stream', digest: digestOf(BYTES), size: BYTES.length },
        open: ({ offset }) => {
          opened++;
          return Promise.resolve(Readable.from([BYTES.subarray(offset)], { objectMode: false }));
        },
      },
      { readers, signal },
    );
  beforeEach(() => {
    opened = 0;
    mock.timers.enable({ apis: ['setTimeout'] });
  });
  afterEach(() => mock.timers.reset());

  it('goes on without the late, who read for themselves', async () => {
    const [early, ...late] = readOf(3).readers();
    const first = buffer(await early!.blob.open({ signal, offset: 0 }));
    mock.timers.tick(30_000);
    expect((await first).equals(BYTES)).to.equal(true);
    for (const { blob } of late)
      expect((await buffer(await blob.open({ signal, offset: 0 }))).equals(BYTES)).to.equal(true);
    expect(opened).to.equal(3);
  });

  it('feeds the late when all who came in time have left', async () => {
    const [early, ...late] = readOf(3).readers();
    early!.leave();
    mock.timers.tick(30_000);
    for (const { blob } of late)
      expect((await buffer(await blob.open({ signal, offset: 0 }))).equals(BYTES)).to.equal(true);
    expect(opened).to.equal(2);
  });

  it('goes on where a reader has stopped in the middle, though more was waiting for it', async () => {
    const bytes = randomBytes(12 * MIB);
    const descriptor = { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length };
    const pieces = Array.from({ length: 12 }, (_piece, i) => bytes.subarray(i * MIB, (i + 1) * MIB));
    const open = (): Promise<Readable> => {
      opened++;
      return Promise.resolve(Readable.from(pieces));
    };
    const [reader] = new SharedRead({ descriptor, open }, { readers: 1, signal }).readers();
    const cut = 5 * MIB + 1000;
    let read = 0;
    for await (const chunk of await reader!.blob.open({ signal, offset: 0 })) {
      read += (chunk as Buffer).length;
      if (read >= cut) break;
    }
    const rest = await buffer(await reader!.blob.open({ signal, offset: cut }));
    expect(rest.equals(bytes.subarray(cut))).to.equal(true);
    expect(opened).to.equal(1);
  });
});
