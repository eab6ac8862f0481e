import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { constants, deflateRawSync, gunzipSync, inflateRawSync } from 'node:zlib';
import { expect } from 'chai';
import { BlockPool, COMPRESS_BLOCK } from '../../lib/layer/block-pool.js';
import { compress, type CompressOptions } from '../../lib/layer/compress.js';
import { deflate } from '../../lib/deflate/index.js';
import { randomSource, type RandomSource } from '../helpers/random-source.js';

const WINDOW = 32768;
const ROUNDS = Number(process.env.IMGTOOL_TEST_ROUNDS ?? 150);
/** An empty last block with fixed codes. */
const LAST = Buffer.from([3, 0]);
/** Around every bound in the compressor: hash and word sizes, longest match, stored block, block, window, piece. */
const BOUNDS = [0, 1, 4, 8, 9, 10, 16, 258, 32768, 65535, 65536, 131072, COMPRESS_BLOCK - 2];

type Shape = (size: number, random: RandomSource) => Buffer;

const fill = (size: number, byte: (index: number, soFar: Buffer) => number): Buffer => {
  const bytes = Buffer.alloc(size);
  for (let index = 0; index < size; index++) bytes[index] = byte(index, bytes);
  return bytes;
};

const SHAPES: Readonly<Record<string, Shape>> = {
  zeros: (size) => Buffer.alloc(size),
  random: (size, { below }) => fill(size, () => below(256)),
  'two symbols': (size, { below }) => fill(size, () => 65 + below(2)),
  runs: (size, { below }) => {
    let [left, byte] = [0, 0];
    return fill(size, () => {
      if (left-- === 0) [left, byte] = [below(600), below(256)];
      return byte;
    });
  },
  words: (size, { below }) => {
    const words = Array.from({ length: 300 }, () => `${below(2 ** 31).toString(36)} `.slice(below(5)));
    let text = '';
    while (text.length < size) text += words[Math.min(below(300), below(300))]!;
    return Buffer.from(text.slice(0, size));
  },
  'copies from afar': (size, { below }) => {
    const period = WINDOW - 300 + below(600);
    return fill(size, (index, soFar) => (index < period || below(40) === 0 ? below(256) : soFar[index - period]!));
  },
  'short copies': (size, { below }) => {
    let [left, distance] = [0, 1];
    return fill(size, (index, soFar) => {
      if (left-- === 0) [left, distance] = [3 + below(9), 1 + below(below(2) === 0 ? 64 : WINDOW)];
      return left > 0 && distance <= index ? soFar[index - distance]! : below(256);
    });
  },
  // Each byte half as frequent as the one before: codes want to be longer than deflate allows.
  'ever rarer bytes': (size, { below }) => fill(size, () => Math.clz32(1 + below(2 ** 31)) * 8 + below(2)),
  mixed: (size, random) => {
    const parts: Buffer[] = [];
    for (let left = size; left > 0;) {
      const part = Math.min(left, 1 + random.below(60_000));
      parts.push(pick(Object.values(SHAPES).slice(0, -1), random)(part, random));
      left -= part;
    }
    return Buffer.concat(parts);
  },
};

function pick<T>(from: readonly T[], { below }: RandomSource): T {
  return from[below(from.length)]!;
}

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

/** Programs are what layers are full of. */
function program(size: number): Buffer {
  const fd = openSync(process.execPath, 'r');
  try {
    const bytes = Buffer.alloc(size);
    return bytes.subarray(0, readSync(fd, bytes, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}

describe('deflate', () => {
  const random = randomSource();
  const seeded = `(IMGTOOL_TEST_SEED=${random.seed})`;

  it(`random data with and without dictionary comes out of zlib as it was ${seeded}`, () => {
    for (let round = 0; round < ROUNDS; round++) {
      const names = Object.keys(SHAPES);
      const name = names[round % names.length]!;
      const size = Math.max(0, pick(BOUNDS, random) + random.below(5) - 2);
      const before =
        random.below(2) === 0 ? 0 : Math.min(WINDOW, Math.max(0, pick(BOUNDS, random) + random.below(3) - 1));
      const data = SHAPES[name]!(before + size, random);
      const dictionary = before === 0 ? undefined : data.subarray(0, before);
      const deflated = deflate(data.subarray(before), dictionary);
      const inflated = inflateRawSync(Buffer.concat([deflated, LAST]), dictionary && { dictionary });
      expect(inflated.equals(data.subarray(before)), `round ${round}: ${name}, ${before} + ${size}`).to.equal(true);
      expect(deflated.length, `round ${round}: ${name}, ${before} + ${size}`).to.be.at.most(size + size / 1000 + 20);
    }
  });

  it(`gives the same bytes whatever came before ${seeded}`, () => {
    const noise = (size: number): Buffer => SHAPES.random!(size, random);
    const phrase = noise(60);
    // The second phrase is copied from the first, so its middle is not looked up; the first is out of reach at the end.
    const data = Buffer.concat([phrase, noise(20_000), phrase, noise(20_000), phrase.subarray(30, 38), noise(100)]);
    const first = deflate(data);
    // What comes between has the middle of the phrase where the second phrase has it.
    const between = noise(data.length);
    phrase.copy(between, 20_060 + 30, 30, 38);
    deflate(between);
    expect(Buffer.compare(deflate(data), first)).to.equal(0);
  });

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

  it('programs become at most 3 % larger than with zlib at level 3', () => {
    const data = program(24 * COMPRESS_BLOCK);
    let [own, zlib] = [0, 0];
    for (let at = 0; at < data.length; at += COMPRESS_BLOCK) {
      const block = data.subarray(at, at + COMPRESS_BLOCK);
      const dictionary = data.subarray(Math.max(0, at - WINDOW), at);
      own += deflate(block, dictionary).length;
      const options = { level: 3, finishFlush: constants.Z_SYNC_FLUSH, ...(at > 0 && { dictionary }) };
      zlib += deflateRawSync(block, options).length;
    }
    expect(own).to.be.at.most(1.03 * zlib);
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
