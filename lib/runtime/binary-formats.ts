import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const REGISTERED = '/proc/sys/fs/binfmt_misc';

/** ELF machine numbers (elf.h) whose programs each architecture can run, its own first. */
const MACHINES: Readonly<Partial<Record<NodeJS.Architecture, readonly number[]>>> = {
  x64: [62, 3],
  ia32: [3],
  arm64: [183, 40],
  arm: [40],
  s390x: [22],
  ppc64: [21],
  riscv64: [243],
  loong64: [258],
};

const NAMES: Readonly<Record<number, string>> = {
  3: '386',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  62: 'amd64',
  183: 'arm64',
  243: 'riscv64',
  258: 'loong64',
};

/** How the kernel runs a file, according to its first bytes (execve(2)). */
type BinaryFormat =
  /** A program. `loader`: path of its dynamic loader, undefined for a static program. */
  | { readonly kind: 'program'; readonly loader: string | undefined }
  /** A program for another architecture, by Docker's name of it. */
  | { readonly kind: 'foreign'; readonly architecture: string }
  | { readonly kind: 'script'; readonly interpreter: string }
  | { readonly kind: 'unknown' };

/** The format of a file that starts with `head` (up to 4 KiB). */
export function binaryFormat(head: Buffer): BinaryFormat {
  if (head.toString('latin1', 0, 2) === '#!') {
    const line = head.toString('utf8', 2, 256).split('\n', 1)[0]!.trim();
    const interpreter = line.split(/[ \t]/, 1)[0]!;
    return interpreter === '' ? { kind: 'unknown' } : { kind: 'script', interpreter };
  }
  if (head.length < 64 || head.readUInt32BE(0) !== 0x7f45_4c46) return { kind: 'unknown' };
  const isLittle = head[5] === 1;
  const machine = isLittle ? head.readUInt16LE(18) : head.readUInt16BE(18);
  const known = MACHINES[process.arch];
  if (known !== undefined && !known.includes(machine))
    return { kind: 'foreign', architecture: NAMES[machine] ?? `ELF machine ${machine}` };
  return { kind: 'program', loader: isLittle ? loaderOf(head) : undefined };
}

/** The path in the segment PT_INTERP, if it lies in `head`. */
function loaderOf(head: Buffer): string | undefined {
  const isWide = head[4] === 2;
  const table = isWide ? Number(head.readBigUInt64LE(32)) : head.readUInt32LE(28);
  const [entrySize, count] = isWide
    ? [head.readUInt16LE(54), head.readUInt16LE(56)]
    : [head.readUInt16LE(42), head.readUInt16LE(44)];
  for (let index = 0; index < count; index += 1) {
    const at = table + index * entrySize;
    if (at + 56 > head.length) return undefined;
    if (head.readUInt32LE(at) !== 3) continue;
    const [offset, size] = isWide
      ? [Number(head.readBigUInt64LE(at + 8)), Number(head.readBigUInt64LE(at + 32))]
      : [head.readUInt32LE(at + 4), head.readUInt32LE(at + 16)];
    if (size < 2 || offset + size > head.length) return undefined;
    return head.toString('utf8', offset, offset + size - 1);
  }
  return undefined;
}

/** True when binfmt_misc has a handler for such files, such as QEMU for other architectures. */
export function hasHandler(head: Buffer, name: string): boolean {
  try {
    return readdirSync(REGISTERED).some(
      (entry) =>
        entry !== 'register' &&
        entry !== 'status' &&
        handles(readFileSync(join(REGISTERED, entry), 'utf8'), head, name),
    );
  } catch {
    return false;
  }
}

function handles(text: string, head: Buffer, name: string): boolean {
  if (!text.startsWith('enabled')) return false;
  const field = (pattern: RegExp): string | undefined => pattern.exec(text)?.[1];
  const extension = field(/^extension \.(.*)$/m);
  if (extension !== undefined) return name.endsWith(`.${extension}`);
  const magic = Buffer.from(field(/^magic ([0-9a-f]+)$/m) ?? '', 'hex');
  const mask = Buffer.from(field(/^mask ([0-9a-f]+)$/m) ?? '', 'hex');
  const offset = Number(field(/^offset (\d+)$/m) ?? 0);
  if (magic.length === 0 || head.length < offset + magic.length) return false;
  return magic.every((byte, index) => ((head[offset + index]! ^ byte) & (mask[index] ?? 0xff)) === 0);
}
