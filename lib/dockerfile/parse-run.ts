import { csvFields } from './csv.js';
import { Flags } from './flags.js';
import type { Heredoc, InstructionBase, RunInstruction } from './instructions.js';
import { checkMount } from './mounts.js';
import { parseCommand } from './parse-command.js';
import { suggestion, SyntaxProblem } from './problem.js';

const RUN_FLAGS = { mount: 'list', network: 'text', security: 'text', device: 'list' } as const;
const NETWORKS = ['default', 'none', 'host'] as const;
const SECURITY = ['sandbox', 'insecure'] as const;

/** Parses the arguments of RUN. Throws SyntaxProblem. */
export function parseRun(
  rest: string,
  words: readonly string[],
  heredocs: readonly Heredoc[],
): Omit<RunInstruction, keyof InstructionBase | 'keyword'> {
  const command = parseCommand(rest);
  const flags = new Flags(words, RUN_FLAGS);
  const mounts = flags.list('mount');
  mounts.forEach(checkMount);
  const devices = flags.list('device');
  devices.forEach(csvFields);
  return {
    command,
    heredocs,
    mounts,
    network: choice('network', flags.text('network') ?? 'default', NETWORKS),
    security: choice('security', flags.text('security') ?? 'sandbox', SECURITY),
    devices,
  };
}

function choice<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((known) => known === value);
  if (found !== undefined) return found;
  throw new SyntaxProblem(
    `--${name} is not ${JSON.stringify(value)}`,
    suggestion(value, allowed) ?? `it is one of ${allowed.join(', ')}`,
  );
}
