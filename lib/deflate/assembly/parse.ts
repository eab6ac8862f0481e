import {
  DISTANCE_USES,
  HASH_BITS,
  HASHES,
  INPUT_AT,
  LENGTH_SLOT,
  LITERAL_USES,
  MAX_SEQUENCES,
  SEQUENCES,
  USES_END,
} from './memory';
import { MAX_LENGTH, MIN_LENGTH } from './slots';

const WINDOW: u32 = 1 << 15;
/** Maximum data of a block. Bytes. */
const MAX_BLOCK: u32 = 1 << 17;
/** A match of this length is not compared with the other candidate. */
const GOOD_LENGTH: u32 = 32;
/** After this many literals (as a shift) without a match, the search step grows by one, so that incompressible data costs little. */
const SKIP_SHIFT: u32 = 7;
/** Matches are searched only where this much can be read: eight bytes at the position and at the next one. */
const LOOKAHEAD: usize = 9;

let position: usize = 0;
let end: usize = 0;

/** The result of `parse`: the start and size of the data, its sequences, and the literals after them. */
export let blockStart: usize = 0;
export let blockSize: u32 = 0;
export let sequences: u32 = 0;

/** Starts with `size` bytes after `dictionary` bytes (at most WINDOW) at INPUT_AT. */
export function beginParse(dictionary: u32, size: u32): void {
  // Stale positions would be valid, but the output would depend on previous data.
  memory.fill(HASHES, 0, 4 << HASH_BITS);
  position = INPUT_AT + dictionary;
  end = position + size;
  for (let at = INPUT_AT; at + 4 <= position; at++) insert(at);
}

/** True when there is unparsed data. */
export function more(): bool {
  return position < end;
}

/** The entry for the last two positions with the same hash of four bytes. */
function bucket(four: u32): usize {
  return HASHES + ((<usize>((four * 0x9e3779b1) >>> (32 - HASH_BITS))) << 2);
}

function insert(at: usize): void {
  const entry = bucket(load<u32>(at));
  store<u32>(entry, (load<u32>(entry) << 16) | (<u32>at & 0xffff));
}

function countLiteral(at: usize): void {
  const uses = LITERAL_USES + ((<usize>load<u8>(at)) << 2);
  store<u32>(uses, load<u32>(uses) + 1);
}

/** Length of the match between `at` and the earlier `from`, whose first eight bytes are equal. */
function extend(from: usize, at: usize): u32 {
  const limit = min(at + MAX_LENGTH, end);
  let next = at + 8;
  const distance = at - from;
  for (; next + 8 <= limit; next += 8) {
    const differing = load<u64>(next - distance) ^ load<u64>(next);
    if (differing !== 0) return <u32>(next - at) + (<u32>ctz(differing) >> 3);
  }
  while (next < limit && load<u8>(next - distance) === load<u8>(next)) next++;
  return <u32>(next - at);
}

/**
 * Finds literals and matches for the next block and counts their symbols. A sequence consists of the number of literals
 * (32 bits), the length of the match (9), the slot of its distance (5) and that slot's extra bits.
 *
 * Looks up a position and the next one together, with two candidates and one, without branches: whether a byte is a
 * literal cannot be predicted, and each misprediction costs more than the whole lookup.
 */
export function parse(): void {
  memory.fill(LITERAL_USES, 0, USES_END - LITERAL_USES);
  blockStart = position;
  const stop = min(position + MAX_BLOCK, end);
  const searchable = max(position, min(stop, end - LOOKAHEAD));
  const full = SEQUENCES + ((<usize>MAX_SEQUENCES) << 3);
  let at = position;
  let literals = at;
  let sequence = SEQUENCES;
  while (at < searchable && sequence < full) {
    const here = load<u64>(at);
    const next = load<u64>(at, 1);
    // Only 16 bits of a position are stored: one out of reach yields a wrong distance, whose bytes are then compared.
    // They never precede the data, because 0 stands for INPUT_AT.
    let entry = bucket(<u32>here);
    let kept = load<u32>(entry);
    store<u32>(entry, (kept << 16) | (<u32>at & 0xffff));
    let near = (<u32>at - kept) & 0xffff;
    const far = (<u32>at - (kept >> 16)) & 0xffff;
    entry = bucket(<u32>next);
    kept = load<u32>(entry);
    store<u32>(entry, (kept << 16) | (<u32>(at + 1) & 0xffff));
    const nextNear = (<u32>(at + 1) - kept) & 0xffff;
    // The number of equal bytes, up to eight. A distance of 0 is out of reach.
    let nearLength = select<u32>(<u32>ctz(load<u64>(at - near) ^ here) >> 3, 0, near - 1 < WINDOW);
    let farLength = select<u32>(<u32>ctz(load<u64>(at - far) ^ here) >> 3, 0, far - 1 < WINDOW);
    const lengthNext = select<u32>(<u32>ctz(load<u64>(at + 1 - nextNear) ^ next) >> 3, 0, nextNear - 1 < WINDOW);
    const lengthHere = max(nearLength, farLength);
    let length = max(lengthHere, lengthNext);
    if (length < MIN_LENGTH) {
      const passed = min(at + 2 + (<u32>(at - literals) >> SKIP_SHIFT), searchable);
      for (; at < passed; at++) countLiteral(at);
      continue;
    }
    const later = lengthNext > lengthHere;
    const uses = LITERAL_USES + ((<usize>load<u8>(at)) << 2);
    store<u32>(uses, load<u32>(uses) + <u32>later);
    at += <usize>later;
    near = select<u32>(nextNear, near, later);
    nearLength = select<u32>(lengthNext, nearLength, later);
    farLength = select<u32>(0, farLength, later);
    if (length === 8) {
      if (nearLength === 8) nearLength = extend(at - near, at);
      if (farLength === 8 && nearLength < GOOD_LENGTH) farLength = extend(at - far, at);
      length = max(nearLength, farLength);
    }
    const distance = select<u32>(far, near, farLength > nearLength) - 1;
    let slot = distance;
    let extra: u32 = 0;
    if (distance >= 2) {
      const bits = 30 - <u32>clz(distance);
      slot = 2 * bits + (distance >> bits);
      extra = distance & ((1 << bits) - 1);
    }
    store<u64>(sequence, <u64>(at - literals) | ((<u64>(length | (slot << 9) | (extra << 14))) << 32));
    sequence += 8;
    const lengthUses = LITERAL_USES + ((257 + <usize>load<u8>(LENGTH_SLOT + length)) << 2);
    store<u32>(lengthUses, load<u32>(lengthUses) + 1);
    const distanceUses = DISTANCE_USES + ((<usize>slot) << 2);
    store<u32>(distanceUses, load<u32>(distanceUses) + 1);
    // Inserting all positions of the match would compress slightly better, but the end of that loop cannot be predicted.
    insert(at + 1 + <usize>!later);
    insert(at + 3);
    if (length > 6) {
      insert(at + 4);
      insert(at + 5);
      insert(at + length - 2);
    }
    at += length;
    literals = at;
  }
  if (at >= searchable && searchable + LOOKAHEAD >= end) for (; at < end; at++) countLiteral(at);
  store<u64>(sequence, <u64>(at - literals));
  // The end-of-block symbol.
  store<u32>(LITERAL_USES, 1, 256 << 2);
  position = at;
  blockSize = <u32>(at - blockStart);
  sequences = <u32>(sequence - SEQUENCES) >> 3;
}
