import koffi from 'koffi';

const memcpy = koffi
  .load('libc.so.6')
  .func('uintptr_t memcpy(const uint8_t *, const uint8_t *, size_t)') as unknown as (
  target: Uint8Array,
  source: Uint8Array,
  size: number,
) => number;

/**
 * Memory address of a typed array, for the calls in `direct.ts` and for C structures. Valid while the caller keeps
 * `view` alive, because backing stores never move. `view` must not be empty.
 */
export function addressOf(view: Uint8Array): number {
  return memcpy(view, view, 0);
}

/** Keeps memory that only an address refers to. */
const constants: Uint8Array[] = [];

/** Memory address of `name` as a C string, valid as long as the process: for constants. */
export function constantAddress(name: string): number {
  const bytes = Buffer.from(`${name}\0`);
  constants.push(bytes);
  return addressOf(bytes);
}
