import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { digestOf } from '../../../lib/spec/index.js';
import { rejection } from '../../helpers/rejection.js';
import { Spool } from '../../../lib/operations/convert/index.js';

const { signal } = new AbortController();

describe('operations/copy: bytes that wait in a file', () => {
  const bytes = randomBytes(600_000);
  let directory: string;
  let spool: Spool;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-spool-'));
    spool = new Spool(directory);
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('can be read as often as needed, also after a reader left in the middle; their file has no name', async () => {
    const spooled = await spool.take(Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]), { signal });
    expect(spooled).to.include({ digest: digestOf(bytes), size: bytes.length, compression: 'none' });
    expect(await readdir(directory)).to.deep.equal([]);
    for await (const _chunk of await spooled.open({ signal, offset: 0 })) break;
    for (const offset of [0, 1000, bytes.length])
      expect((await buffer(await spooled.open({ signal, offset }))).equals(bytes.subarray(offset))).to.equal(true);
    await spooled.drop();
    await spool.close();
  });

  it('that break off are dropped with the error of their stream, or that of an abort', async () => {
    const broken = Readable.from(
      (function* () {
        yield bytes;
        throw new Error('the source broke');
      })(),
    );
    expect((await rejection(spool.take(broken, { signal }))).message).to.equal('the source broke');
    const controller = new AbortController();
    const endless = new Readable({ read: () => undefined });
    endless.push(bytes);
    const aborted = rejection(spool.take(endless, { signal: controller.signal }));
    setImmediate(() => controller.abort());
    expect((await aborted).name).to.equal('AbortError');
    expect(endless.destroyed).to.equal(true);
    await spool.close();
  });
});
