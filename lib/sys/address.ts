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
