import { readFileSync } from 'node:fs';
import { ContainerStartError, UsageError } from '../errors.js';
import { closest } from '../util/index.js';

/** All capabilities in the order of their numbers (linux/capability.h). */
const CAPABILITIES = `
  CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
  NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
  SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
  MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

/** Docker's default capabilities for a container's root (moby, oci/caps). */
const DEFAULTS = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_MKNOD', 'CAP_NET_RAW', 'CAP_SETGID'],
  ...['CAP_SETUID', 'CAP_SETFCAP', 'CAP_SETPCAP', 'CAP_NET_BIND_SERVICE', 'CAP_SYS_CHROOT', 'CAP_KILL'],
  'CAP_AUDIT_WRITE',
];

/** The settings of a run that determine its capabilities. */
interface CapabilityChoice {
  /** Names with or without `CAP_`, or `ALL`. */
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly privileged: boolean;
}

/**
 * The capabilities of a container's root: Docker's defaults, or all when privileged, with those added and dropped.
 * `mknod`: CAP_MKNOD is allowed. Throws UsageError for an unknown name, ContainerStartError for a requested capability
 * that this process lacks.
 */
export function containerCapabilities(
  { capAdd, capDrop, privileged }: CapabilityChoice,
  { mknod }: { readonly mknod: boolean },
): string[] {
  const [added, dropped] = [namesOf(capAdd, '--cap-add'), namesOf(capDrop, '--cap-drop')];
  const isGiven = givenToThisProcess();
  const missing = added.find((name) => name !== 'ALL' && !isGiven(name));
  if (missing !== undefined) {
    throw new ContainerStartError(`this process lacks ${missing} and cannot give it to the container`, {
      hint: 'leave out --cap-add, or run as root with all capabilities',
    });
  }
  const start = privileged || added.includes('ALL') ? CAPABILITIES : dropped.includes('ALL') ? [] : DEFAULTS;
  const wanted = new Set([...start.filter((name) => !dropped.includes(name)), ...added]);
  return CAPABILITIES.filter((name) => wanted.has(name) && isGiven(name) && (mknod || name !== 'CAP_MKNOD'));
}

function namesOf(texts: readonly string[], option: string): string[] {
  return texts.map((text) => {
    const upper = text.toUpperCase();
    if (upper === 'ALL') return upper;
    const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
    if (CAPABILITIES.includes(name)) return name;
    const near = closest(
      name.slice(4),
      CAPABILITIES.map((known) => known.slice(4)),
    );
    throw new UsageError(`${option}: unknown capability ${JSON.stringify(text.slice(0, 100))}`, {
      hint: near === undefined ? 'see capabilities(7)' : `did you mean CAP_${near}?`,
    });
  });
}

/** Returns a function that tests whether a capability is in the bounding set of this process. */
function givenToThisProcess(): (name: string) => boolean {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const mask = BigInt(`0x${bounding ?? 'ffffffffffffffff'}`);
  return (name) => ((mask >> BigInt(CAPABILITIES.indexOf(name))) & 1n) === 1n;
}
