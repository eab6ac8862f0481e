import { readFileSync } from 'node:fs';

/** Identifies the current boot of the kernel (proc(5)). Data written in an earlier boot and not synced may be lost. */
export function currentBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
