import { LENGTH_SLOT } from './memory';

export const MIN_LENGTH: u32 = 4;
export const MAX_LENGTH: u32 = 258;

/** The smallest length of a slot (RFC 1951, 3.2.5). */
export function lengthBase(slot: u32): u32 {
  if (slot < 8) return slot + 3;
  return slot === 28 ? MAX_LENGTH : ((4 + (slot & 3)) << ((slot >> 2) - 1)) + 3;
}

/** The number of bits after the code of a length's slot. */
export function lengthExtraBits(slot: u32): u32 {
  return slot < 8 || slot === 28 ? 0 : (slot >> 2) - 1;
}

/** The number of bits after the code of a distance's slot. */
export function distanceExtraBits(slot: u32): u32 {
  return slot < 4 ? 0 : (slot >> 1) - 1;
}

/** Fills LENGTH_SLOT; called once. */
export function makeLengthSlots(): void {
  for (let slot: u32 = 0; slot < 29; slot++) {
    const base = lengthBase(slot);
    memory.fill(LENGTH_SLOT + base, <u8>slot, (<usize>1) << lengthExtraBits(slot));
  }
  store<u8>(LENGTH_SLOT + MAX_LENGTH, 28);
}
