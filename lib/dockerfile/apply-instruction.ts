import type { ExecutionConfig } from '../spec/index.js';
import { healthConfig } from './health-config.js';
import type { Instruction, KeyValue, Keyword } from './instructions.js';
import { commandWords } from './run-script.js';
import { resolveWorkdir } from './workdir.js';

/** The instructions that change only the execution config, in Dockerfile spelling; `--change` accepts them. */
export const CONFIG_INSTRUCTIONS = [
  'CMD',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'HEALTHCHECK',
  'LABEL',
  'ONBUILD',
  'SHELL',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const satisfies readonly Keyword[];

export type ConfigInstruction = Extract<Instruction, { readonly keyword: (typeof CONFIG_INSTRUCTIONS)[number] }>;

export function isConfigInstruction(instruction: Instruction): instruction is ConfigInstruction {
  return (CONFIG_INSTRUCTIONS as readonly Keyword[]).includes(instruction.keyword);
}

/** Applies an expanded instruction to a config. Keeps all other fields. */
export function applyInstruction(config: ExecutionConfig, instruction: ConfigInstruction): ExecutionConfig {
  switch (instruction.keyword) {
    case 'CMD':
      return { ...config, Cmd: commandWords(instruction.command, config.Shell) };
    case 'ENTRYPOINT':
      return { ...config, Entrypoint: commandWords(instruction.command, config.Shell) };
    case 'ENV':
      return { ...config, Env: withVariables(config.Env ?? [], instruction.pairs) };
    case 'EXPOSE':
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...emptyObjects(instruction.ports) } };
    case 'HEALTHCHECK':
      return { ...config, Healthcheck: healthConfig(instruction) };
    case 'LABEL':
      return { ...config, Labels: { ...config.Labels, ...fromPairs(instruction.pairs) } };
    case 'ONBUILD':
      return { ...config, OnBuild: [...(config.OnBuild ?? []), instruction.trigger] };
    case 'SHELL':
      return { ...config, Shell: instruction.shell };
    case 'STOPSIGNAL':
      return { ...config, StopSignal: instruction.signal };
    case 'USER':
      return { ...config, User: instruction.user };
    case 'VOLUME':
      return { ...config, Volumes: { ...config.Volumes, ...emptyObjects(instruction.paths) } };
    case 'WORKDIR':
      return { ...config, WorkingDir: resolveWorkdir(config.WorkingDir, instruction.path) };
  }
}

/** Replaces existing variables in place and appends new ones. */
function withVariables(env: readonly string[], pairs: readonly KeyValue[]): string[] {
  const result = [...env];
  for (const { key, value } of pairs) {
    const at = result.findIndex((entry) => splitEntry(entry)[0] === key);
    result[at < 0 ? result.length : at] = `${key}=${value}`;
  }
  return result;
}

/** Splits an entry of `Env`. */
export function splitEntry(entry: string): [key: string, value: string] {
  const equals = entry.indexOf('=');
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
}

function fromPairs(pairs: readonly KeyValue[]): Record<string, string> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
}

function emptyObjects(names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}
