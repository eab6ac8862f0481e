/**
 * Deflate (RFC 1951) for layers: about as small as by zlib at level 3, in less than half the time. Integers only, so the same data
 * give the same bytes on every machine. AssemblyScript, made into `deflate.wasm` by the build.
 */
import { INPUT_AT, OUTPUT_AT } from './memory';
import { beginParse, more, parse } from './parse';
import { makeLengthSlots } from './slots';
import { beginOutput, endOutput, writeBlock } from './write';

/** Where the dictionary and the data behind it are put. */
export const INPUT: usize = INPUT_AT;
/** Where the output begins. */
export const OUTPUT: usize = OUTPUT_AT;

makeLengthSlots();

/** Begins with `size` bytes (at most 1 MiB) behind `dictionary` bytes (at most 32 KiB) at INPUT. */
export function begin(dictionary: u32, size: u32): void {
  beginParse(dictionary, size);
  beginOutput();
}

/** Writes the next block; whether there is more. Called for each, as only a call switches to faster machine code. */
export function block(): bool {
  if (!more()) return false;
  parse();
  writeBlock();
  return more();
}

/** Ends on a byte boundary; the bytes of output. */
export function finish(): u32 {
  return endOutput();
}
