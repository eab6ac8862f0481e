import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { deflate } from '../../lib/deflate/index.js';
import { BlockPool, COMPRESS_BLOCK } from '../../lib/layer/block-pool.js';
import { compress, type CompressOptions } from '../../lib/layer/compress.js';
import { program, SHAPES } from '../helpers/compressible-data.js';
import { randomSource } from '../helpers/random-source.js';

const WINDOW = 32768;
/** An empty last block with fixed codes. */
const LAST = Buffer.from([3, 0]);

async function gzip(data: Buffer, options: Omit<CompressOptions, 'compression' | 'pool'> = {}): Promise<Buffer> {
  const pool = new BlockPool('gzip');
  const blocks = function* (): Generator<Buffer> {
    for (let at = 0; at < data.length; at += COMPRESS_BLOCK) {
      const block = pool.take();
      yield block.subarray(0, data.copy(block, 0, at));
    }
  };
  const chunks: Buffer[] = [];
  for await (const chunk of compress(blocks(), { ...options, compression: 'gzip', pool })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('layer: gzip in blocks', () => {
  const random = randomSource();
  const seeded = `(IMGTOOL_TEST_SEED=${random.seed})`;

  it(`gzip members of several blocks are taken by gzip and igzip ${seeded}`, async () => {
    for (const [name, shape] of Object.entries(SHAPES)) {
      const data = shape(COMPRESS_BLOCK + random.below(COMPRESS_BLOCK), random);
      const member = await gzip(data);
      expect(gunzipSync(member).equals(data), `${name}: zlib`).to.equal(true);
      for (const decoder of ['gzip', 'igzip']) {
        const decoded = execFileSync(decoder, ['-dc'], { input: member, maxBuffer: 4 * COMPRESS_BLOCK });
        expect(decoded.equals(data), `${name}: ${decoder}`).to.equal(true);
        execFileSync(decoder, ['-t'], { input: member });
      }
    }
  });

  it('one thread and many give the bytes that no thread gives', async () => {
    const data = Buffer.concat([program(5 * COMPRESS_BLOCK), SHAPES.mixed!(2 * COMPRESS_BLOCK + 77, random)]);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < data.length; at += COMPRESS_BLOCK)
      pieces.push(deflate(data.subarray(at, at + COMPRESS_BLOCK), data.subarray(Math.max(0, at - WINDOW), at)));
    const expected = Buffer.concat([...pieces, LAST]);
    for (const threads of [1, 4, availableParallelism()]) {
      const member = await gzip(data, { threads });
      expect(member.subarray(10, -8).equals(expected), `${threads} threads`).to.equal(true);
    }
  });

  it('levels: the higher, the smaller', async () => {
    const data = program(3 * COMPRESS_BLOCK);
    const sizes: number[] = [];
    for (let level = 1; level <= 9; level++) {
      const member = await gzip(data, { level });
      expect(gunzipSync(member).equals(data), `level ${level}`).to.equal(true);
      sizes.push(member.length);
    }
    expect(sizes).to.deep.equal([...sizes].sort((a, b) => b - a));
    expect(sizes.at(-1)).to.be.lessThan(0.97 * sizes[0]!);
  });
});
