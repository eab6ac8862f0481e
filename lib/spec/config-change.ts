import { UsageError } from '../errors.js';
import type { ExecutionConfig } from './config.js';

/** The instructions `--change` takes, as Dockerfiles spell them. */
export const CONFIG_INSTRUCTIONS = [
  'CMD',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'LABEL',
  'USER',
  'VOLUME',
  'WORKDIR',
  'STOPSIGNAL',
] as const;

/**
 * Applies one Dockerfile instruction (`CMD ["sh"]`, `ENV A=b`) to an execution config; returns a new one. Fields it does
 * not touch are kept. Throws UsageError.
 */
export function applyConfigChange(config: ExecutionConfig, instruction: string): ExecutionConfig {
  const match = /^\s*([A-Za-z]+)\s+([\s\S]*\S)\s*$/.exec(instruction);
  if (match === null) throw bad(instruction, 'it has no value');
  const value = match[2]!;
  switch (match[1]!.toUpperCase()) {
    case 'CMD':
      return { ...config, Cmd: commandOf(value, instruction) };
    case 'ENTRYPOINT':
      return { ...config, Entrypoint: commandOf(value, instruction) };
    case 'ENV':
      return { ...config, Env: withVariables(config.Env ?? [], pairsOf(value, instruction)) };
    case 'LABEL':
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(pairsOf(value, instruction)) } };
    case 'EXPOSE':
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...portsOf(value, instruction) } };
    case 'VOLUME':
      return { ...config, Volumes: { ...config.Volumes, ...emptyObjects(listOf(value, instruction)) } };
    case 'USER':
      return { ...config, User: value };
    case 'WORKDIR':
      return { ...config, WorkingDir: joinPath(config.WorkingDir, value) };
    case 'STOPSIGNAL':
      return { ...config, StopSignal: value };
    default:
      throw bad(instruction, `${match[1]} is no instruction that can be changed`);
  }
}

function bad(instruction: string, why: string): UsageError {
  return new UsageError(`${JSON.stringify(instruction.slice(0, 200))} is not a config change: ${why}`, {
    hint: `write it as in a Dockerfile, with one of ${CONFIG_INSTRUCTIONS.join(', ')}`,
  });
}

/** Exec form (a JSON list) as it is; shell form through `/bin/sh -c`. */
function commandOf(value: string, instruction: string): string[] {
  return value.startsWith('[') ? jsonList(value, instruction) : ['/bin/sh', '-c', value];
}

function listOf(value: string, instruction: string): string[] {
  return value.startsWith('[') ? jsonList(value, instruction) : wordsOf(value, instruction);
}

function jsonList(value: string, instruction: string): string[] {
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list) && list.every((entry) => typeof entry === 'string')) return list;
  } catch {
    // Said below, in the words of the user.
  }
  throw bad(instruction, 'a list is JSON with double quotes, such as ["sh", "-c"]');
}

/** `K=V K2="V 2"`, or the old form `K V` with one variable. */
function pairsOf(value: string, instruction: string): [string, string][] {
  const words = wordsOf(value, instruction);
  if (!words[0]!.includes('=')) {
    const old = /^(\S+)\s+([\s\S]+)$/.exec(value);
    if (old === null) throw bad(instruction, 'a variable is written K=V');
    return [[old[1]!, old[2]!]];
  }
  return words.map((word) => {
    const equals = word.indexOf('=');
    if (equals < 1) throw bad(instruction, 'a variable is written K=V');
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

/** Splits at blanks outside quotes; a backslash takes the next character as it is. */
function wordsOf(value: string, instruction: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < value.length; i++) {
    const char = value[i]!;
    if (char === '\\' && quote !== "'" && i + 1 < value.length) {
      word = (word ?? '') + value[++i]!;
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (quote !== '') throw bad(instruction, 'a quote is not closed');
  if (word !== undefined) words.push(word);
  return words;
}

function withVariables(env: readonly string[], pairs: readonly [string, string][]): string[] {
  const result = [...env];
  for (const [name, value] of pairs) {
    const at = result.findIndex((entry) => entry.startsWith(`${name}=`));
    if (at >= 0) result[at] = `${name}=${value}`;
    else result.push(`${name}=${value}`);
  }
  return result;
}

function portsOf(value: string, instruction: string): Record<string, object> {
  const ports = wordsOf(value, instruction).map((word) => {
    const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(word);
    if (match === null || Number(match[1]) < 1 || Number(match[1]) > 65535)
      throw bad(instruction, `${word} is not a port`);
    return `${Number(match[1])}/${(match[2] ?? 'tcp').toLowerCase()}`;
  });
  return emptyObjects(ports);
}

function emptyObjects(names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

function joinPath(base: string | undefined, path: string): string {
  return path.startsWith('/') ? path : `${(base ?? '').replace(/\/+$/, '')}/${path}`;
}
