import { readFileSync } from 'node:fs';

/** Identifies this boot of the kernel (proc(5)): what was not synced in another one may be lost. */
export function currentBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
