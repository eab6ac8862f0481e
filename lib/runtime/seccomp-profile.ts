import { constants, release } from 'node:os';
import { UsageError } from '../errors.js';
import type { SeccompFilter, SeccompRule } from './seccomp.js';

const ACTIONS = ['ALLOW', 'ERRNO', 'LOG', 'KILL', 'KILL_THREAD', 'KILL_PROCESS', 'TRAP', 'TRACE'];
const OPERATORS = ['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'];

/** The names of node's architectures in profiles: Go's in rules, libseccomp's in `archMap`. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, readonly [string, string]>>> = {
  x64: ['amd64', 'SCMP_ARCH_X86_64'],
  ia32: ['x86', 'SCMP_ARCH_X86'],
  arm: ['arm', 'SCMP_ARCH_ARM'],
  arm64: ['arm64', 'SCMP_ARCH_AARCH64'],
  ppc64: ['ppc64le', 'SCMP_ARCH_PPC64LE'],
  s390x: ['s390x', 'SCMP_ARCH_S390X'],
  riscv64: ['riscv64', 'SCMP_ARCH_RISCV64'],
  loong64: ['loong64', 'SCMP_ARCH_LOONGARCH64'],
};

/** The machine to filter system calls on. */
export interface SeccompMachine {
  readonly architecture: NodeJS.Architecture;
  /** The kernel release as in uname(2). */
  readonly kernel: string;
}

/**
 * Compiles a profile in Docker's format (moby, profiles/seccomp; also accepts podman's `errno` names) for a container
 * with `capabilities` on this machine. Throws UsageError that names the error, also for anything unknown.
 */
export function compileSeccomp(
  text: string,
  capabilities: readonly string[],
  machine: SeccompMachine = { architecture: process.arch, kernel: release() },
): SeccompFilter {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw profileError('the profile', `is not JSON: ${(error as Error).message}`);
  }
  const profile = objectOf(json, 'the profile');
  const errno = errnoOf(profile, { name: 'defaultErrno', number: 'defaultErrnoRet' }, 'the profile');
  const flags = textsOf(profile['flags'], 'flags');
  if (profile['listenerPath']) throw profileError('listenerPath', 'is not supported');
  const syscalls = listOf(profile['syscalls'], 'syscalls').flatMap((entry, at) => {
    const where = `syscalls[${at}]`;
    const rule = objectOf(entry, where);
    // Rules that do not apply here are still validated.
    const compiled = ruleOf(rule, where);
    return applies(rule, where, { capabilities, machine }) ? [compiled] : [];
  });
  const architectures = profileArchitectures(profile, machine);
  return {
    defaultAction: `SCMP_ACT_${nameOf(profile['defaultAction'], 'SCMP_ACT_', ACTIONS, 'defaultAction')}`,
    ...(errno === undefined ? {} : { defaultErrnoRet: errno }),
    ...(architectures.length === 0 ? {} : { architectures }),
    ...(flags.length === 0 ? {} : { flags }),
    syscalls,
  };
}

type Fields = Readonly<Record<string, unknown>>;

/** Empty: only the machine's own architecture, as runtimes interpret it. */
function profileArchitectures(profile: Fields, { architecture }: SeccompMachine): string[] {
  const plain = textsOf(profile['architectures'], 'architectures');
  const map = listOf(profile['archMap'], 'archMap').map((entry, at) => {
    const { architecture: name, subArchitectures } = objectOf(entry, `archMap[${at}]`);
    return [
      ...textsOf([name], `archMap[${at}].architecture`),
      ...textsOf(subArchitectures, `archMap[${at}].subArchitectures`),
    ];
  });
  if (plain.length > 0 && map.length > 0)
    throw profileError('the profile', 'has both architectures and archMap: only one is allowed');
  const own = ARCHITECTURES[architecture]?.[1];
  return plain.length > 0 ? plain : (map.find(([name]) => name === own) ?? []);
}

function ruleOf(rule: Fields, where: string): SeccompRule {
  const names = textsOf(rule['names'], `${where}.names`);
  const name = textsOf(rule['name'] ? [rule['name']] : [], `${where}.name`);
  if (names.length + name.length === 0) throw profileError(where, 'names no system call');
  if (names.length > 0 && name.length > 0) throw profileError(where, 'has both name and names: only one is allowed');
  const args = listOf(rule['args'], `${where}.args`).map((entry, at) => {
    const here = `${where}.args[${at}]`;
    const { index, value, valueTwo, op } = objectOf(entry, here);
    return {
      index: numberOf(index ?? 0, `${here}.index`, 5),
      value: numberOf(value ?? 0, `${here}.value`),
      valueTwo: numberOf(valueTwo ?? 0, `${here}.valueTwo`),
      op: `SCMP_CMP_${nameOf(op, 'SCMP_CMP_', OPERATORS, `${here}.op`)}` as const,
    };
  });
  const errno = errnoOf(rule, { name: 'errno', number: 'errnoRet' }, where);
  return {
    names: [...name, ...names],
    action: `SCMP_ACT_${nameOf(rule['action'], 'SCMP_ACT_', ACTIONS, `${where}.action`)}`,
    ...(errno === undefined ? {} : { errnoRet: errno }),
    ...(args.length === 0 ? {} : { args }),
  };
}

/** True when a rule applies to this machine and these capabilities: everything it includes, and nothing it excludes. */
function applies(
  rule: Fields,
  where: string,
  { capabilities, machine }: { readonly capabilities: readonly string[]; readonly machine: SeccompMachine },
): boolean {
  const filterOf = (side: 'includes' | 'excludes'): Filter => {
    const at = `${where}.${side}`;
    const filter = objectOf(rule[side] ?? {}, at);
    const kernel = filter['minKernel'] || undefined;
    return {
      arches: textsOf(filter['arches'], `${at}.arches`),
      caps: textsOf(filter['caps'], `${at}.caps`),
      kernel: kernel === undefined ? undefined : isKernel(machine.kernel, textsOf([kernel], at)[0]!, `${at}.minKernel`),
    };
  };
  const [includes, excludes] = [filterOf('includes'), filterOf('excludes')];
  const architecture = ARCHITECTURES[machine.architecture]?.[0] ?? machine.architecture;
  const has = (cap: string): boolean => capabilities.includes(cap);
  if (excludes.arches.includes(architecture) || excludes.caps.some(has) || excludes.kernel === true) return false;
  if (includes.arches.length > 0 && !includes.arches.includes(architecture)) return false;
  return includes.caps.every(has) && includes.kernel !== false;
}

interface Filter {
  readonly arches: readonly string[];
  readonly caps: readonly string[];
  /** True when the kernel is new enough; undefined when the rule does not require a version. */
  readonly kernel: boolean | undefined;
}

function isKernel(kernel: string, least: string, where: string): boolean {
  const versions = [kernel, least].map((text) => /^(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number));
  const [is, wanted] = versions as [number[] | undefined, number[] | undefined];
  if (wanted === undefined) throw profileError(where, 'is not a kernel version');
  if (is === undefined) return false;
  return is[0]! > wanted[0]! || (is[0] === wanted[0] && is[1]! >= wanted[1]!);
}

function errnoOf(
  fields: Fields,
  { name, number }: { readonly name: string; readonly number: string },
  where: string,
): number | undefined {
  const text = fields[name];
  if (text !== undefined && text !== null && text !== '') {
    const known = typeof text === 'string' ? (constants.errno as Readonly<Record<string, number>>)[text] : undefined;
    if (known === undefined) throw profileError(`${where}: ${name}`, 'is not the name of an errno');
    return known;
  }
  const value = fields[number] ?? undefined;
  return value === undefined ? undefined : numberOf(value, `${where}: ${number}`, 4095);
}

function nameOf(value: unknown, prefix: string, names: readonly string[], where: string): string {
  const found = names.find((name) => value === prefix + name);
  if (found !== undefined) return found;
  throw profileError(where, `must be one of ${names.map((name) => prefix + name).join(', ')}`);
}

/** JSON represents no larger integer exactly, and a filter for another number would be useless. */
function numberOf(value: unknown, where: string, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw profileError(where, `must be an integer up to ${most}`);
}

function textsOf(value: unknown, where: string): string[] {
  return listOf(value, where).map((entry, at) => {
    if (typeof entry === 'string' && entry !== '') return entry;
    throw profileError(`${where}[${at}]`, 'must be a string');
  });
}

/** Go writes an empty list as null. */
function listOf(value: unknown, where: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw profileError(where, 'must be a list');
}

function objectOf(value: unknown, where: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw profileError(where, 'must be an object');
}

function profileError(where: string, why: string): UsageError {
  return new UsageError(`seccomp: ${where} ${why}`, {
    hint: "the format is that of Docker's profiles; seccomp=unconfined runs without a filter",
  });
}
