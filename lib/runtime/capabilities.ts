import { readFileSync } from 'node:fs';

/** What Docker leaves to a container's root by default (moby, oci/caps), with the numbers of linux/capability.h. */
const DEFAULT_CAPABILITIES: readonly (readonly [string, number])[] = [
  ['CAP_CHOWN', 0],
  ['CAP_DAC_OVERRIDE', 1],
  ['CAP_FSETID', 4],
  ['CAP_FOWNER', 3],
  ['CAP_MKNOD', 27],
  ['CAP_NET_RAW', 13],
  ['CAP_SETGID', 6],
  ['CAP_SETUID', 7],
  ['CAP_SETFCAP', 31],
  ['CAP_SETPCAP', 8],
  ['CAP_NET_BIND_SERVICE', 10],
  ['CAP_SYS_CHROOT', 18],
  ['CAP_KILL', 5],
  ['CAP_AUDIT_WRITE', 29],
];

/** Docker's default capabilities, without those that this process could not give; `mknod`: with CAP_MKNOD. */
export function defaultCapabilities({ mknod }: { readonly mknod: boolean }): string[] {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const mask = BigInt(`0x${bounding ?? 'ffffffffffffffff'}`);
  return DEFAULT_CAPABILITIES.filter(
    ([name, bit]) => ((mask >> BigInt(bit)) & 1n) === 1n && (mknod || name !== 'CAP_MKNOD'),
  ).map(([name]) => name);
}
