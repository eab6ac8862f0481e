import { addressOf } from '../sys/index.js';

const words = new Uint32Array(8);
const address = addressOf(new Uint8Array(words.buffer));

/** Fills two `struct timespec` with one time. Returns their address, which is valid until the next call. */
export function timesAddress(seconds: number, nanos: number): number {
  const low = seconds - Math.floor(seconds / 0x1_0000_0000) * 0x1_0000_0000;
  const high = Math.floor(seconds / 0x1_0000_0000) | 0;
  for (let at = 0; at < 8; at += 4) {
    words[at] = low;
    words[at + 1] = high;
    words[at + 2] = nanos;
    words[at + 3] = 0;
  }
  return address;
}
