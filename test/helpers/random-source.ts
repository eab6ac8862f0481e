import { randomInt } from 'node:crypto';

/** Random numbers that a seed repeats. */
export interface RandomSource {
  readonly seed: number;
  /** A whole number from 0 to `bound` - 1. */
  readonly below: (bound: number) => number;
}

/** A generator (mulberry32) started with IMGTOOL_TEST_SEED, else with a random seed; tests print it when they fail. */
export function randomSource(seed = Number(process.env.IMGTOOL_TEST_SEED ?? randomInt(2 ** 31))): RandomSource {
  let state = seed;
  return {
    seed,
    below: (bound) => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) % bound;
    },
  };
}
