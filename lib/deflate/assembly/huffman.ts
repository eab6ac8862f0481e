import { COUNT, NEXT_CODE, SORTED, WEIGHT } from './memory';

/** The symbol in an entry of SORTED; its uses are above. */
const SYMBOL: u32 = 511;

/**
 * Creates the Huffman code of `symbols` symbols from their uses, with at most `maxBits` bits. It has at least two codes
 * and so is complete, which some decoders require.
 */
export function makeCode(uses: usize, symbols: u32, bits: usize, codes: usize, maxBits: u32): void {
  memory.fill(bits, 0, symbols);
  let used: u32 = 0;
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = load<u32>(uses + (symbol << 2));
    if (count > 0) store<u32>(SORTED + (used++ << 2), (count << 9) | symbol);
  }
  if (used < 2) {
    const symbol = used === 1 ? load<u32>(SORTED) & SYMBOL : 0;
    store<u8>(bits + symbol, 1);
    store<u8>(bits + (symbol === 0 ? 1 : 0), 1);
  } else {
    sortByUses(used);
    countBits(used, maxBits);
    limitBits(maxBits);
    let next: u32 = 0;
    for (let length = maxBits; length > 0; length--)
      for (let left = load<u32>(COUNT + (length << 2)); left > 0; left--)
        store<u8>(bits + (load<u32>(SORTED + (next++ << 2)) & SYMBOL), <u8>length);
  }
  assignCodes(symbols, bits, codes, maxBits);
}

/** Shell sort. Sorts equal uses by symbol, so that the result is deterministic. */
function sortByUses(used: u32): void {
  for (let gap: u32 = 121; gap > 0; gap = gap / 3) {
    for (let i = gap; i < used; i++) {
      const entry = load<u32>(SORTED + (i << 2));
      let at = i;
      for (; at >= gap; at -= gap) {
        const other = load<u32>(SORTED + ((at - gap) << 2));
        if (other <= entry) break;
        store<u32>(SORTED + (at << 2), other);
      }
      store<u32>(SORTED + (at << 2), entry);
    }
  }
}

function weight(index: u32): u32 {
  return load<u32>(WEIGHT + (index << 2));
}

/** Computes COUNT, the number of codes per length. Builds the tree in place (Moffat and Katajainen). */
function countBits(used: u32, maxBits: u32): void {
  for (let i: u32 = 0; i < used; i++) store<u32>(WEIGHT + (i << 2), load<u32>(SORTED + (i << 2)) >> 9);
  // Inner nodes are created from the left; a merged node's entry becomes the index of its parent.
  let root: u32 = 0;
  let leaf: u32 = 0;
  for (let node: u32 = 0; node < used - 1; node++) {
    let sum: u32 = 0;
    for (let child = 0; child < 2; child++) {
      if (leaf >= used || (root < node && weight(root) < weight(leaf))) {
        sum += weight(root);
        store<u32>(WEIGHT + (root++ << 2), node);
      } else sum += weight(leaf++);
    }
    store<u32>(WEIGHT + (node << 2), sum);
  }
  // Converts parents to depths, from the root at the right end.
  store<u32>(WEIGHT + ((used - 2) << 2), 0);
  for (let node = <i32>used - 3; node >= 0; node--) store<u32>(WEIGHT + (node << 2), weight(weight(node)) + 1);
  memory.fill(COUNT, 0, 64);
  let nodes: u32 = 1;
  let next = <i32>used - 2;
  for (let depth: u32 = 0; nodes > 0; depth++) {
    let inner: u32 = 0;
    for (; next >= 0 && weight(next) === depth; next--) inner++;
    const at = COUNT + (min(depth, maxBits) << 2);
    store<u32>(at, load<u32>(at) + nodes - inner);
    nodes = 2 * inner;
  }
}

/** Lengthens shorter codes until those cut to `maxBits` fit. */
function limitBits(maxBits: u32): void {
  let space: u32 = 0;
  for (let length: u32 = 1; length <= maxBits; length++)
    space += load<u32>(COUNT + (length << 2)) << (maxBits - length);
  for (; space > (<u32>1) << maxBits; space--) {
    let length = maxBits - 1;
    while (load<u32>(COUNT + (length << 2)) === 0) length--;
    change(length, -1);
    change(length + 1, 2);
    change(maxBits, -1);
  }
}

function change(length: u32, by: i32): void {
  const at = COUNT + (length << 2);
  store<u32>(at, load<u32>(at) + by);
}

/** Assigns the canonical codes (RFC 1951, 3.2.2) for the given lengths. */
export function assignCodes(symbols: u32, bits: usize, codes: usize, maxBits: u32): void {
  memory.fill(COUNT, 0, 64);
  for (let symbol: u32 = 0; symbol < symbols; symbol++) change(load<u8>(bits + symbol), 1);
  store<u32>(COUNT, 0);
  let first: u32 = 0;
  for (let length: u32 = 1; length <= maxBits; length++) {
    first = (first + load<u32>(COUNT + ((length - 1) << 2))) << 1;
    store<u32>(NEXT_CODE + (length << 2), first);
  }
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const length: u32 = load<u8>(bits + symbol);
    const at = NEXT_CODE + (length << 2);
    const code = load<u32>(at);
    if (length > 0) store<u32>(at, code + 1);
    store<u32>(codes + (symbol << 2), length === 0 ? 0 : (reverse(code) >> (16 - length)) | (length << 16));
  }
}

/** Reverses the lowest 16 bits. */
function reverse(code: u32): u32 {
  code = ((code >> 8) & 0xff) | ((code & 0xff) << 8);
  code = ((code >> 4) & 0x0f0f) | ((code & 0x0f0f) << 4);
  code = ((code >> 2) & 0x3333) | ((code & 0x3333) << 2);
  return ((code >> 1) & 0x5555) | ((code & 0x5555) << 1);
}
