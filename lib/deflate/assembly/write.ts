import { assignCodes, makeCode } from './huffman';
import {
  DISTANCE_BITS,
  DISTANCE_CODE,
  DISTANCE_USES,
  DISTANCES,
  LENGTH_CODE,
  LENGTH_SLOT,
  LITERAL_BITS,
  LITERAL_CODE,
  LITERAL_USES,
  LITERALS,
  OUTPUT_AT,
  PRECODE_BITS,
  PRECODE_CODE,
  PRECODE_ITEMS,
  PRECODE_USES,
  PRECODES,
  SEQUENCES,
} from './memory';
import { blockSize, blockStart, sequences } from './parse';
import { distanceExtraBits, lengthBase, lengthExtraBits, MAX_LENGTH } from './slots';

const END_OF_BLOCK: u32 = 256;
const MAX_BITS: u32 = 15;
const MAX_STORED: u32 = 65535;
/** Block types, shifted past the bit for the last block. */
const STORED: u32 = 0;
const FIXED: u32 = 2;
const DYNAMIC: u32 = 4;
/** The order of the precode's lengths (RFC 1951, 3.2.7). */
const ORDER = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);

/** End of the output, and up to seven bits that do not yet fill a byte. */
let output: usize = 0;
let held: u64 = 0;
let heldBits: u64 = 0;

export function beginOutput(): void {
  output = OUTPUT_AT;
  held = heldBits = 0;
}

/** Ends on a byte boundary, with an empty stored block if needed. Returns the size of the output in bytes. */
export function endOutput(): u32 {
  if (heldBits > 0) writeStored(0);
  return <u32>(output - OUTPUT_AT);
}

/** Appends bits; at most 57 between two calls of `flush`. */
function put(value: u64, bits: u32): void {
  held |= value << heldBits;
  heldBits += bits;
}

function putCode(code: u32): void {
  put(code & 0xffff, code >> 16);
}

function flush(): void {
  store<u64>(output, held);
  output += <usize>(heldBits >> 3);
  held >>= heldBits & ~7;
  heldBits &= 7;
}

/** Writes the parsed data as one block of the smallest type. */
export function writeBlock(): void {
  makeCode(LITERAL_USES, LITERALS, LITERAL_BITS, LITERAL_CODE, MAX_BITS);
  makeCode(DISTANCE_USES, DISTANCES, DISTANCE_BITS, DISTANCE_CODE, MAX_BITS);
  const literals = usedSymbols(LITERAL_BITS, LITERALS, END_OF_BLOCK + 1);
  const distances = usedSymbols(DISTANCE_BITS, DISTANCES, 1);
  const items = makePrecode(literals, distances);
  let lengths = PRECODES;
  while (lengths > 4 && load<u8>(PRECODE_BITS + load<u8>(ORDER + lengths - 1)) === 0) lengths--;

  let dynamic: u32 = 14 + 3 * lengths;
  for (let symbol: u32 = 0; symbol < PRECODES; symbol++)
    dynamic += load<u32>(PRECODE_USES + (symbol << 2)) * (load<u8>(PRECODE_BITS + symbol) + precodeExtraBits(symbol));
  let fixed: u32 = 0;
  let extra: u32 = 0;
  for (let symbol: u32 = 0; symbol < LITERALS; symbol++) {
    const uses = load<u32>(LITERAL_USES + (symbol << 2));
    dynamic += uses * load<u8>(LITERAL_BITS + symbol);
    fixed += uses * fixedBits(symbol);
    if (symbol > END_OF_BLOCK) extra += uses * lengthExtraBits(symbol - END_OF_BLOCK - 1);
  }
  for (let slot: u32 = 0; slot < DISTANCES; slot++) {
    const uses = load<u32>(DISTANCE_USES + (slot << 2));
    dynamic += uses * load<u8>(DISTANCE_BITS + slot);
    fixed += uses * 5;
    extra += uses * distanceExtraBits(slot);
  }
  const stored: u32 = 8 * (blockSize + 5 * (blockSize / MAX_STORED + 1));
  if (stored <= min(dynamic, fixed) + extra) {
    writeStored(blockSize);
    return;
  }
  if (fixed <= dynamic) {
    put(FIXED, 3);
    useFixedCodes();
  } else {
    put(DYNAMIC, 3);
    put(literals - 257, 5);
    put(distances - 1, 5);
    put(lengths - 4, 4);
    flush();
    writeCodes(lengths, items);
  }
  writeSequences();
}

/** The number of symbols up to the last one with a code, at least `least`. */
function usedSymbols(bits: usize, symbols: u32, least: u32): u32 {
  while (symbols > least && load<u8>(bits + symbols - 1) === 0) symbols--;
  return symbols;
}

/** Creates the code of the code lengths and the items encoded with it. Returns the number of PRECODE_ITEMS. */
function makePrecode(literals: u32, distances: u32): u32 {
  // A run may extend from one table into the other.
  memory.copy(LITERAL_BITS + literals, DISTANCE_BITS, distances);
  const total = literals + distances;
  let items: u32 = 0;
  for (let at: u32 = 0; at < total;) {
    const bits: u32 = load<u8>(LITERAL_BITS + at);
    let run: u32 = 1;
    while (at + run < total && load<u8>(LITERAL_BITS + at + run) === bits) run++;
    at += run;
    if (bits > 0) {
      addItem(items++, bits, 0);
      run--;
    }
    while (run >= 3) {
      const taken = min(run, bits > 0 ? 6 : 138);
      if (bits > 0) addItem(items++, 16, taken - 3);
      else if (taken < 11) addItem(items++, 17, taken - 3);
      else addItem(items++, 18, taken - 11);
      run -= taken;
    }
    for (; run > 0; run--) addItem(items++, bits, 0);
  }
  makeCode(PRECODE_USES, PRECODES, PRECODE_BITS, PRECODE_CODE, 7);
  return items;
}

function addItem(index: u32, symbol: u32, extra: u32): void {
  store<u16>(PRECODE_ITEMS + (index << 1), <u16>(symbol | (extra << 5)));
  const uses = PRECODE_USES + (symbol << 2);
  store<u32>(uses, load<u32>(uses) + 1);
}

function precodeExtraBits(symbol: u32): u32 {
  if (symbol < 16) return 0;
  return symbol === 18 ? 7 : symbol - 14;
}

function writeCodes(lengths: u32, items: u32): void {
  for (let i: u32 = 0; i < lengths; i++) {
    put(load<u8>(PRECODE_BITS + load<u8>(ORDER + i)), 3);
    flush();
  }
  for (let i: u32 = 0; i < items; i++) {
    const item: u32 = load<u16>(PRECODE_ITEMS + (i << 1));
    const symbol = item & 31;
    putCode(load<u32>(PRECODE_CODE + (symbol << 2)));
    put(item >> 5, precodeExtraBits(symbol));
    flush();
  }
}

function fixedBits(symbol: u32): u32 {
  if (symbol < 144) return 8;
  if (symbol < 256) return 9;
  return symbol < 280 ? 7 : 8;
}

function useFixedCodes(): void {
  // The last two lengths are part of the code but unused.
  for (let symbol: u32 = 0; symbol < 288; symbol++) store<u8>(LITERAL_BITS + symbol, <u8>fixedBits(symbol));
  memory.fill(DISTANCE_BITS, 5, DISTANCES);
  assignCodes(288, LITERAL_BITS, LITERAL_CODE, MAX_BITS);
  assignCodes(DISTANCES, DISTANCE_BITS, DISTANCE_CODE, MAX_BITS);
}

function writeStored(size: u32): void {
  let from = blockStart;
  do {
    const count = min(size, MAX_STORED);
    put(STORED, 3);
    flush();
    if (heldBits > 0) {
      output++;
      held = heldBits = 0;
    }
    store<u16>(output, <u16>count);
    store<u16>(output, <u16>~count, 2);
    memory.copy(output + 4, from, count);
    output += 4 + count;
    from += count;
    size -= count;
  } while (size > 0);
}

function writeSequences(): void {
  for (let length: u32 = 3; length <= MAX_LENGTH; length++) {
    const slot: u32 = load<u8>(LENGTH_SLOT + length);
    const code = load<u32>(LITERAL_CODE + ((END_OF_BLOCK + 1 + slot) << 2));
    const bits = code >> 16;
    const entry = (code & 0xffff) | ((length - lengthBase(slot)) << bits) | ((bits + lengthExtraBits(slot)) << 24);
    store<u32>(LENGTH_CODE + (length << 2), entry);
  }
  let from = blockStart;
  const last = SEQUENCES + ((<usize>sequences) << 3);
  for (let sequence = SEQUENCES; ; sequence += 8) {
    const entry = load<u64>(sequence);
    let literals = <u32>entry;
    for (; literals >= 3; literals -= 3) {
      const first = literalCode(load<u8>(from));
      const second = literalCode(load<u8>(from, 1));
      const third = literalCode(load<u8>(from, 2));
      let bits = first >> 16;
      let value = <u64>(first & 0xffff) | ((<u64>(second & 0xffff)) << bits);
      bits += second >> 16;
      value |= (<u64>(third & 0xffff)) << bits;
      put(value, bits + (third >> 16));
      flush();
      from += 3;
    }
    for (; literals > 0; literals--) putCode(literalCode(load<u8>(from++)));
    flush();
    if (sequence === last) break;
    const match = <u32>(entry >> 32);
    const length = match & 511;
    const slot = (match >> 9) & 31;
    const lengthCode = load<u32>(LENGTH_CODE + ((<usize>length) << 2));
    const distanceCode = load<u32>(DISTANCE_CODE + ((<usize>slot) << 2));
    let bits = lengthCode >> 24;
    let value = <u64>(lengthCode & 0xffffff) | ((<u64>(distanceCode & 0xffff)) << bits);
    bits += distanceCode >> 16;
    value |= (<u64>(match >> 14)) << bits;
    put(value, bits + distanceExtraBits(slot));
    flush();
    from += length;
  }
  putCode(literalCode(END_OF_BLOCK));
  flush();
}

function literalCode(symbol: u32): u32 {
  return load<u32>(LITERAL_CODE + ((<usize>symbol) << 2));
}
