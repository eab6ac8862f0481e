import { UsageError } from '../errors.js';
import type { ExecutionConfig } from '../spec/index.js';
import { applyInstruction, CONFIG_INSTRUCTIONS, splitEntry, type ConfigInstruction } from './apply-instruction.js';
import { expandFields } from './expand-instruction.js';
import { parseInstruction } from './parse-instruction.js';
import { suggestion, SyntaxProblem } from './problem.js';

/**
 * Applies Dockerfile instructions (`CMD ["sh"]`, `ENV A=b`) in order to an execution config and returns a new one.
 * Keeps all other fields, except that ENTRYPOINT removes the old CMD unless one of the instructions is a CMD. `ENV
 * NAME-` and `LABEL NAME-` remove entries. Variables refer to the config's, as in a Dockerfile. Throws UsageError.
 */
export function applyConfigChanges(config: ExecutionConfig, instructions: readonly string[]): ExecutionConfig {
  const changes = instructions.map(parseChange);
  const setsCmd = changes.some((change) => change.kind === 'set' && change.instruction.keyword === 'CMD');
  return changes.reduce((current, change) => {
    if (change.kind === 'remove') return withoutNames(current, change);
    const { keyword } = change.instruction;
    const next = told(change.instruction.text, () => applyChange(current, change.instruction));
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

/** A malformed list, which a Dockerfile treats as text for the shell, is an error here. */
function checkList(instruction: ConfigInstruction): void {
  const { keyword } = instruction;
  if (keyword !== 'CMD' && keyword !== 'ENTRYPOINT' && keyword !== 'HEALTHCHECK') return;
  const { command } = instruction;
  if (command !== 'none' && command.form === 'shell' && command.text.startsWith('['))
    throw new SyntaxProblem('a list is JSON with double quotes, such as ["sh", "-c"]');
}

function applyChange(config: ExecutionConfig, unexpanded: ConfigInstruction): ExecutionConfig {
  const instruction = expandFields(unexpanded, new Map((config.Env ?? []).map(splitEntry)));
  if (instruction.keyword === 'EXPOSE' && instruction.ports.some((port) => port.startsWith('0/')))
    throw new SyntaxProblem('0 is not a port');
  return applyInstruction(config, instruction);
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

/** Runs `body` and converts a SyntaxProblem to a UsageError about the change `text`. */
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
