import { readFile } from 'node:fs/promises';

/** Identifies this boot of the kernel (proc(5)): what was not synced in another one may be lost. */
export async function currentBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
