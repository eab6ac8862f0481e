/**
 * Deflate (RFC 1951) for layers: output about as small as that of zlib at level 3, in less than half the time. Uses
 * only integers, so the same data gives the same bytes on every machine. AssemblyScript, compiled to `deflate.wasm` by
 * the build.
 */
import { INPUT_AT, OUTPUT_AT } from './memory';
import { beginParse, more, parse } from './parse';
import { makeLengthSlots } from './slots';
import { beginOutput, endOutput, writeBlock } from './write';

/** Address of the dictionary and the data after it. */
export const INPUT: usize = INPUT_AT;
/** Address of the output. */
export const OUTPUT: usize = OUTPUT_AT;

makeLengthSlots();

/** Starts with `size` bytes (at most 1 MiB) after `dictionary` bytes (at most 32 KiB) at INPUT. */
export function begin(dictionary: u32, size: u32): void {
  beginParse(dictionary, size);
  beginOutput();
}

/**
 * Writes the next block. Returns true when there is more. One call per block, because V8 switches to faster machine
 * code only between calls.
 */
export function block(): bool {
  if (!more()) return false;
  parse();
  writeBlock();
  return more();
}

/** Ends on a byte boundary. Returns the size of the output in bytes. */
export function finish(): u32 {
  return endOutput();
}
