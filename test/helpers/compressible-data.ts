/** Data to compress, of every kind that a layer may hold. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { RandomSource } from './random-source.js';

const WINDOW = 32768;

/** Makes `size` bytes of one kind. */
export type Shape = (size: number, random: RandomSource) => Buffer;

const fill = (size: number, byte: (index: number, soFar: Buffer) => number): Buffer => {
  const bytes = Buffer.alloc(size);
  for (let index = 0; index < size; index++) bytes[index] = byte(index, bytes);
  return bytes;
};

/** Makes data of each kind that a compressor must handle. */
export const SHAPES: Readonly<Record<string, Shape>> = {
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

/** One of `from`, at random. */
export function pick<T>(from: readonly T[], { below }: RandomSource): T {
  return from[below(from.length)]!;
}

/** The first `size` bytes of a program, which layers are full of. */
export function program(size: number): Buffer {
  const fd = openSync(process.execPath, 'r');
  try {
    const bytes = Buffer.alloc(size);
    return bytes.subarray(0, readSync(fd, bytes, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}
