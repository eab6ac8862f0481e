import { UsageError } from '../errors.js';

/** The platform of an image (image-spec image-index.md, "platform"), with Go's names. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
}

const GO_ARCH: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loong64',
};

const ALIASES: Readonly<Record<string, readonly [arch: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  i386: ['386'],
  i686: ['386'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
};

/** The platform of this process. */
export function hostPlatform(arch: string = process.arch): Platform {
  const architecture = GO_ARCH[arch] ?? arch;
  return platformFrom({ os: 'linux', architecture, variant: defaultVariant(architecture) });
}

/** The platform alone, such as that of a config. */
export function platformFrom({
  os,
  architecture,
  variant,
}: Pick<Platform, 'os' | 'architecture'> & { readonly variant?: string | undefined }): Platform {
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

/** Operating systems, to distinguish a single name from an architecture. */
const SYSTEMS = ['linux', 'windows', 'darwin', 'freebsd', 'wasip1'];

/**
 * Parses `os/arch[/variant]`, `os` (with this machine's architecture), `arch` or `arch/variant`, including common
 * aliases (`x86_64`, `aarch64`). Throws UsageError.
 */
export function parsePlatform(input: string): Platform {
  const parts = input.toLowerCase().split('/');
  if (parts.length > 3 || parts.some((part) => !/^[a-z0-9_.-]+$/.test(part))) {
    throw new UsageError(`${JSON.stringify(input)} is not a platform`, {
      hint: 'write os/arch or os/arch/variant, such as linux/arm64 or linux/arm/v7',
    });
  }
  if (parts.length === 1 && SYSTEMS.includes(parts[0]!)) return { ...hostPlatform(), os: parts[0]! };
  const hasOs = parts.length === 3 || (parts.length === 2 && !/^v\d+$/.test(parts[1]!));
  const os = hasOs ? parts.shift()! : 'linux';
  const [arch, aliasVariant] = ALIASES[parts[0]!] ?? [parts[0]!];
  const variant = parts[1] ?? aliasVariant ?? defaultVariant(arch);
  return platformFrom({ os, architecture: arch, variant });
}

/** The platform as BuildKit and containerd write it in images and variables: without the variant v8 of arm64. */
export function normalPlatform(platform: Platform): Platform {
  const { variant, ...rest } = platform;
  return platform.architecture === 'arm64' && (variant === 'v8' || variant === '8') ? rest : platform;
}

/** Formats a platform as `os/arch[/variant]`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/');
}

/** Splits what `formatPlatform` wrote, without checks and defaults. */
export function splitPlatform(text: string): Platform {
  const [os = '', architecture = '', variant] = text.split('/');
  return platformFrom({ os, architecture, variant });
}

/**
 * How well `candidate` can run on `wanted`: 0 for not at all, higher is better, an exact variant is best. An older ARM
 * variant runs on a newer one (v6 on v7), but not the reverse.
 */
export function platformScore(wanted: Platform, candidate: Platform): number {
  if (candidate.os !== wanted.os || candidate.architecture !== wanted.architecture) return 0;
  const want = variantNumber(wanted);
  const have = variantNumber(candidate);
  if (want === have) return 1000;
  if (want === undefined || have === undefined || have > want) return 0;
  return have + 1;
}

function variantNumber({ architecture, variant }: Platform): number | undefined {
  const text = variant !== undefined && variant !== '' ? variant : (defaultVariant(architecture) ?? 'v1');
  const match = /^v?(\d+)/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

function defaultVariant(architecture: string): string | undefined {
  return architecture === 'arm64' ? 'v8' : architecture === 'arm' ? 'v7' : undefined;
}
