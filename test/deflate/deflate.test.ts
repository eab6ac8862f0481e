import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { expect } from 'chai';
import { deflate } from '../../lib/deflate/index.js';
import { pick, program, SHAPES } from '../helpers/compressible-data.js';
import { randomSource } from '../helpers/random-source.js';

const WINDOW = 32768;
/** Bytes that the room layer compresses at a time. */
const BLOCK = 1 << 20;
const ROUNDS = Number(process.env.IMGTOOL_TEST_ROUNDS ?? 150);
/** An empty last block with fixed codes. */
const LAST = Buffer.from([3, 0]);
/** Around every bound in the compressor: hash and word sizes, longest match, stored block, block, window, piece. */
const BOUNDS = [0, 1, 4, 8, 9, 10, 16, 258, 32768, 65535, 65536, 131072, BLOCK - 2];

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

  it('programs become at most 3 % larger than with zlib at level 3', () => {
    const data = program(24 * BLOCK);
    let [own, zlib] = [0, 0];
    for (let at = 0; at < data.length; at += BLOCK) {
      const block = data.subarray(at, at + BLOCK);
      const dictionary = data.subarray(Math.max(0, at - WINDOW), at);
      own += deflate(block, dictionary).length;
      const options = { level: 3, finishFlush: constants.Z_SYNC_FLUSH, ...(at > 0 && { dictionary }) };
      zlib += deflateRawSync(block, options).length;
    }
    expect(own).to.be.at.most(1.03 * zlib);
  });
});
