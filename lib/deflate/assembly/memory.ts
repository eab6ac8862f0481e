/**
 * Where things lie in the memory of the module. Addresses in bytes; entries as said. All of it is set anew for each piece of
 * data, but LENGTH_SLOT.
 */

/** Uses of each literal, end of block (256) and length slot (257 and up): u32. */
export const LITERAL_USES: usize = 0x1000;
export const LITERALS: u32 = 286;
/** Uses of each distance slot: u32. */
export const DISTANCE_USES: usize = 0x1800;
export const DISTANCES: u32 = 30;
/** Uses of each symbol that code lengths are written with: u32. */
export const PRECODE_USES: usize = 0x1c00;
export const PRECODES: u32 = 19;
export const USES_END: usize = 0x1e00;

/** Bits of each symbol's code, 0 for none: u8. */
export const LITERAL_BITS: usize = 0x2000;
export const DISTANCE_BITS: usize = 0x2200;
export const PRECODE_BITS: usize = 0x2300;

/** The codes as they are written (first bit lowest), with their bits above 16: u32. */
export const LITERAL_CODE: usize = 0x2400;
export const DISTANCE_CODE: usize = 0x2900;
export const PRECODE_CODE: usize = 0x2a00;
/** For each length of a match, code and extra bits together, with the number of bits above 24: u32. */
export const LENGTH_CODE: usize = 0x3000;
/** Slot of each length of a match: u8. */
export const LENGTH_SLOT: usize = 0x3800;

/** Symbols by use, uses of their tree, number of codes by bits, next code by bits: u32, scratch of the Huffman codes. */
export const SORTED: usize = 0x4000;
export const WEIGHT: usize = 0x4800;
export const COUNT: usize = 0x5000;
export const NEXT_CODE: usize = 0x5100;
/** Symbols of the precode with their extra bits above 5: u16. */
export const PRECODE_ITEMS: usize = 0x5800;

/** Last two positions of each hash, their low 16 bits, the newer one below: u32. */
export const HASHES: usize = 0x10000;
export const HASH_BITS: u32 = 15;
/** What a block is made of: u64, the literals before a match in the lower half, the match above (see `parse`). */
export const SEQUENCES: usize = 0x30000;
export const MAX_SEQUENCES: u32 = 1 << 15;
/** Room for a megabyte stored with its headers, and what is written beyond the end. */
export const OUTPUT_AT: usize = 0x80000;
/** The dictionary and the data behind it; a multiple of 64 KiB, as `parse` keeps 16 bits of positions. */
export const INPUT_AT: usize = 0x190000;
