import { UsageError } from '../errors.js';
import type { ExecutionConfig } from './config.js';
import { expandVariable, type ExpandedVariable } from './expand-variable.js';

/** The instructions `--change` takes, as Dockerfiles spell them; UNSETENV and UNSETLABEL, which remove, are our own. */
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
  'UNSETENV',
  'UNSETLABEL',
] as const;

/**
 * Applies one Dockerfile instruction (`CMD ["sh"]`, `ENV A=b`) to an execution config; returns a new one. Fields it does
 * not touch are kept. Variables are those of the config, as in a Dockerfile; CMD and ENTRYPOINT keep them for their shell.
 * Throws UsageError.
 */
export function applyConfigChange(config: ExecutionConfig, instruction: string): ExecutionConfig {
  const match = /^\s*([A-Za-z]+)\s+([\s\S]*\S)\s*$/.exec(instruction);
  if (match === null) throw bad(instruction, 'it has no value');
  const value = match[2]!;
  const variables = new Map((config.Env ?? []).map((entry) => splitPair(entry)));
  const context = { instruction, variables };
  switch (match[1]!.toUpperCase()) {
    case 'CMD':
      return { ...config, Cmd: commandOf(value, instruction) };
    case 'ENTRYPOINT':
      return { ...config, Entrypoint: commandOf(value, instruction) };
    case 'ENV':
      return { ...config, Env: withVariables(config.Env ?? [], pairsOf(value, context)) };
    case 'LABEL':
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(pairsOf(value, context)) } };
    case 'EXPOSE':
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...portsOf(value, context) } };
    case 'VOLUME':
      return { ...config, Volumes: { ...config.Volumes, ...emptyObjects(listOf(value, context)) } };
    case 'USER':
      return { ...config, User: wordOf(value, context) };
    case 'WORKDIR':
      return { ...config, WorkingDir: joinPath(config.WorkingDir, wordOf(value, context)) };
    case 'STOPSIGNAL':
      return { ...config, StopSignal: wordOf(value, context) };
    case 'UNSETENV': {
      const names = wordsOf(value, context);
      return { ...config, Env: (config.Env ?? []).filter((entry) => !names.includes(splitPair(entry)[0])) };
    }
    case 'UNSETLABEL': {
      const names = wordsOf(value, context);
      const kept = Object.entries(config.Labels ?? {}).filter(([name]) => !names.includes(name));
      return { ...config, Labels: Object.fromEntries(kept) };
    }
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

function listOf(value: string, context: Context): string[] {
  return value.startsWith('[')
    ? jsonList(value, context.instruction).map((entry) => wordOf(entry, context))
    : wordsOf(value, context);
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
function pairsOf(value: string, context: Context): [string, string][] {
  const words = wordsOf(value, context);
  if (!words[0]!.includes('=')) {
    const old = /^(\S+)\s+([\s\S]+)$/.exec(value);
    if (old === null) throw bad(context.instruction, 'a variable is written K=V');
    return [[old[1]!, expandedText(old[2]!, context)]];
  }
  return words.map((word) => {
    if (word.indexOf('=') < 1) throw bad(context.instruction, 'a variable is written K=V');
    return splitPair(word);
  });
}

function splitPair(entry: string): [string, string] {
  const equals = entry.indexOf('=');
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
}

/** What the words of an instruction are read with. */
interface Context {
  readonly instruction: string;
  readonly variables: ReadonlyMap<string, string>;
}

/** One word: blanks in it are part of it. */
function wordOf(value: string, context: Context): string {
  return readWords(value, context, () => false).join('');
}

/** Splits at blanks outside quotes. */
function wordsOf(value: string, context: Context): string[] {
  return readWords(value, context, (char) => /\s/.test(char));
}

/** Variables are expanded outside single quotes; a backslash takes the next character as it is. */
function readWords(value: string, { instruction, variables }: Context, splitsAt: (char: string) => boolean): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < value.length; i++) {
    const char = value[i]!;
    const variable = char === '$' && quote !== "'" ? variableAt(value, i, { instruction, variables }) : undefined;
    if (variable !== undefined) {
      word = (word ?? '') + variable.value;
      i += variable.length - 1;
    } else if (char === '\\' && quote !== "'" && i + 1 < value.length) {
      word = (word ?? '') + value[++i]!;
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (splitsAt(char)) {
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

/** The old form of a variable keeps its quotes. */
function expandedText(value: string, context: Context): string {
  let text = '';
  for (let i = 0; i < value.length;) {
    const variable = value[i] === '$' ? variableAt(value, i, context) : undefined;
    const isEscaped = value[i] === '\\' && value[i + 1] === '$';
    text += variable?.value ?? value[isEscaped ? i + 1 : i]!;
    i += variable?.length ?? (isEscaped ? 2 : 1);
  }
  return text;
}

function variableAt(value: string, at: number, { instruction, variables }: Context): ExpandedVariable | undefined {
  try {
    return expandVariable(value, at, variables);
  } catch (error) {
    throw bad(instruction, (error as RangeError).message);
  }
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

function portsOf(value: string, context: Context): Record<string, object> {
  const ports = wordsOf(value, context).map((word) => {
    const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(word);
    if (match === null || Number(match[1]) < 1 || Number(match[1]) > 65535)
      throw bad(context.instruction, `${word} is not a port`);
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
