import { UsageError } from '../errors.js';
import type { ExecutionConfig } from '../spec/index.js';
import { expandFields } from './expand-instruction.js';
import { healthConfig } from './health-config.js';
import type { Instruction, KeyValue, Keyword } from './instructions.js';
import { parseInstruction } from './parse-instruction.js';
import { suggestion, SyntaxProblem } from './problem.js';
import { commandWords } from './run-script.js';
import { resolveWorkdir } from './workdir.js';

/** The instructions `--change` takes, as Dockerfiles spell them. */
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

type ConfigInstruction = Extract<Instruction, { readonly keyword: (typeof CONFIG_INSTRUCTIONS)[number] }>;

/**
 * Applies Dockerfile instructions (`CMD ["sh"]`, `ENV A=b`) to an execution config, in order; returns a new one. Fields that they
 * do not touch are kept, but ENTRYPOINT removes the CMD of before unless one of the instructions is a CMD. `ENV NAME-` and
 * `LABEL NAME-` remove. Variables are those of the config, as in a Dockerfile. Throws UsageError.
 */
export function applyConfigChanges(config: ExecutionConfig, instructions: readonly string[]): ExecutionConfig {
  const changes = instructions.map(parseChange);
  const setsCmd = changes.some((change) => change.kind === 'set' && change.instruction.keyword === 'CMD');
  return changes.reduce((current, change) => {
    if (change.kind === 'remove') return withoutNames(current, change);
    const { keyword } = change.instruction;
    const next = told(change.instruction.text, () => applyInstruction(current, change.instruction));
    if (keyword !== 'ENTRYPOINT' || setsCmd) return next;
    const { Cmd: _removed, ...rest } = next;
    return rest;
  }, config);
}

type Change =
  | { readonly kind: 'set'; readonly instruction: ConfigInstruction }
  | { readonly kind: 'remove'; readonly keyword: 'ENV' | 'LABEL'; readonly names: readonly string[] };

function parseChange(text: string): Change {
  return told(text, () => {
    const [, keyword = '', value = ''] = /^\s*([A-Za-z]*)\s*(.*)$/s.exec(text)!;
    const upper = keyword.toUpperCase();
    if (!(CONFIG_INSTRUCTIONS as readonly string[]).includes(upper))
      throw new SyntaxProblem(
        `${keyword || JSON.stringify(value)} is not an instruction that changes a config`,
        suggestion(keyword, CONFIG_INSTRUCTIONS),
      );
    if (value.trim() === '') throw new SyntaxProblem('it has no value');
    if (/[\r\n]/.test(value)) throw new SyntaxProblem('it has more than one line');
    const words = value.trim().split(/\s+/);
    if ((upper === 'ENV' || upper === 'LABEL') && words.every((word) => /^[^=]+-$/.test(word)))
      return { kind: 'remove', keyword: upper, names: words.map((word) => word.slice(0, -1)) };
    const start = { line: 1, column: 1 };
    const place = { file: '--change', start, end: start, escape: '\\', comments: [] } as const;
    const instruction = parseInstruction({ ...place, text: text.trim() }, []) as ConfigInstruction;
    checkList(instruction);
    return { kind: 'set', instruction };
  });
}

/** In a Dockerfile a broken list is a text for the shell; here it is a mistake. */
function checkList(instruction: ConfigInstruction): void {
  const { keyword } = instruction;
  if (keyword !== 'CMD' && keyword !== 'ENTRYPOINT' && keyword !== 'HEALTHCHECK') return;
  const { command } = instruction;
  if (command !== 'none' && command.form === 'shell' && command.text.startsWith('['))
    throw new SyntaxProblem('a list is JSON with double quotes, such as ["sh", "-c"]');
}

function applyInstruction(config: ExecutionConfig, unexpanded: ConfigInstruction): ExecutionConfig {
  const instruction = expandFields(unexpanded, new Map((config.Env ?? []).map(splitEntry)));
  switch (instruction.keyword) {
    case 'CMD':
      return { ...config, Cmd: commandWords(instruction.command, config.Shell) };
    case 'ENTRYPOINT':
      return { ...config, Entrypoint: commandWords(instruction.command, config.Shell) };
    case 'ENV':
      return { ...config, Env: withVariables(config.Env ?? [], instruction.pairs) };
    case 'EXPOSE':
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...emptyObjects(nonZero(instruction.ports)) } };
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

function withoutNames(
  config: ExecutionConfig,
  { keyword, names }: Extract<Change, { readonly kind: 'remove' }>,
): ExecutionConfig {
  if (keyword === 'ENV')
    return { ...config, Env: (config.Env ?? []).filter((entry) => !names.includes(splitEntry(entry)[0])) };
  const labels = Object.entries(config.Labels ?? {}).filter(([name]) => !names.includes(name));
  return { ...config, Labels: Object.fromEntries(labels) };
}

/** Runs `body`; a SyntaxProblem in it becomes a UsageError about the change `text`. */
function told<T>(text: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    throw new UsageError(`${JSON.stringify(text.slice(0, 200))} is not a config change: ${error.message}`, {
      hint: error.hint ?? `write it as in a Dockerfile, with one of ${CONFIG_INSTRUCTIONS.join(', ')}`,
    });
  }
}

/** Sets variables where they are, and adds new ones at the end. */
export function withVariables(env: readonly string[], pairs: readonly KeyValue[]): string[] {
  const result = [...env];
  for (const { key, value } of pairs) {
    const at = result.findIndex((entry) => splitEntry(entry)[0] === key);
    result[at < 0 ? result.length : at] = `${key}=${value}`;
  }
  return result;
}

function splitEntry(entry: string): [key: string, value: string] {
  const equals = entry.indexOf('=');
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
}

function fromPairs(pairs: readonly KeyValue[]): Record<string, string> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
}

function nonZero(ports: readonly string[]): readonly string[] {
  if (ports.some((port) => port.startsWith('0/'))) throw new SyntaxProblem('0 is not a port');
  return ports;
}

function emptyObjects(names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}
