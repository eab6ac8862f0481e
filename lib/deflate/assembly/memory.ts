/**
 * The memory layout of the module. Addresses in bytes; each entry states its element type. Everything except
 * LENGTH_SLOT is reset for each piece of data.
 */

/** Uses of each literal, of end of block (256) and of each length slot (257 and up): u32. */
export const LITERAL_USES: usize = 0x1000;
export const LITERALS: u32 = 286;
/** Uses of each distance slot: u32. */
export const DISTANCE_USES: usize = 0x1800;
export const DISTANCES: u32 = 30;
/** Uses of each symbol in the encoded code lengths: u32. */
export const PRECODE_USES: usize = 0x1c00;
export const PRECODES: u32 = 19;
export const USES_END: usize = 0x1e00;

/** Length of each symbol's code in bits, 0 for none: u8. */
export const LITERAL_BITS: usize = 0x2000;
export const DISTANCE_BITS: usize = 0x2200;
export const PRECODE_BITS: usize = 0x2300;

/** The codes as they are written (first bit lowest), with their length in the upper 16 bits: u32. */
export const LITERAL_CODE: usize = 0x2400;
export const DISTANCE_CODE: usize = 0x2900;
export const PRECODE_CODE: usize = 0x2a00;
/** For each match length, its code and extra bits, with the number of bits in the upper 8 bits: u32. */
export const LENGTH_CODE: usize = 0x3000;
/** Slot of each match length: u8. */
export const LENGTH_SLOT: usize = 0x3800;

/** Scratch memory of the Huffman codes: symbols by use, uses of their tree, number of codes per length, next code per length; u32. */
export const SORTED: usize = 0x4000;
export const WEIGHT: usize = 0x4800;
export const COUNT: usize = 0x5000;
export const NEXT_CODE: usize = 0x5100;
/** Symbols of the precode, with their extra bits above bit 5: u16. */
export const PRECODE_ITEMS: usize = 0x5800;

/** The low 16 bits of the last two positions of each hash, the newer one in the lower half: u32. */
export const HASHES: usize = 0x10000;
export const HASH_BITS: u32 = 15;
/** The sequences of a block, u64: the number of literals before a match in the lower half, the match in the upper (see `parse`). */
export const SEQUENCES: usize = 0x30000;
export const MAX_SEQUENCES: u32 = 1 << 15;
/** Output: room for a stored megabyte with its headers, and for writes beyond the end. */
export const OUTPUT_AT: usize = 0x80000;
/** The dictionary and the data after it; a multiple of 64 KiB, because `parse` stores 16 bits of each position. */
export const INPUT_AT: usize = 0x190000;
