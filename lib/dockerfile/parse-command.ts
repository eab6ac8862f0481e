import type { Command, HealthTimes } from './instructions.js';
import { parseDuration } from './durations.js';
import { Flags, given } from './flags.js';
import { suggestion, SyntaxProblem } from './problem.js';
import { jsonWords } from './words.js';

/** Parses the command of RUN, CMD and ENTRYPOINT: a JSON list, or text for the shell. A malformed list is also text. */
export function parseCommand(rest: string): Command {
  const words = stringList(rest);
  return words === undefined ? { form: 'shell', text: rest } : { form: 'exec', words };
}

/** Parses a JSON list; undefined for other text. Throws SyntaxProblem for elements that are not strings. */
export function stringList(rest: string): string[] | undefined {
  const words = jsonWords(rest);
  if (words === 'mixed') throw new SyntaxProblem('a list holds only strings', 'write it as ["word", "word"]');
  return words;
}

/** Parses the words of SHELL. */
export function parseShell(rest: string): string[] {
  const words = stringList(rest);
  if (words === undefined) throw new SyntaxProblem('SHELL needs a JSON list', 'write it as SHELL ["/bin/sh", "-c"]');
  if (words.length === 0) throw new SyntaxProblem('SHELL needs at least one argument');
  return words;
}

type Health = HealthTimes & { readonly command: Command | 'none' };

const HEALTH_FLAGS = {
  interval: 'text',
  timeout: 'text',
  'start-period': 'text',
  'start-interval': 'text',
  retries: 'text',
} as const;

/** Parses the arguments of HEALTHCHECK. */
export function parseHealth(rest: string, flagWords: readonly string[]): Health {
  const [, type = '', text = ''] = /^(\S*)\s*(.*)$/s.exec(rest)!;
  const flags = new Flags(flagWords, HEALTH_FLAGS);
  if (type === '') throw new SyntaxProblem('HEALTHCHECK needs at least one argument', 'write CMD COMMAND or NONE');
  if (type.toUpperCase() === 'NONE') {
    if (text !== '') throw new SyntaxProblem('HEALTHCHECK NONE takes no arguments');
    return { command: 'none' };
  }
  if (type.toUpperCase() !== 'CMD')
    throw new SyntaxProblem(
      `HEALTHCHECK ${JSON.stringify(type)} is not known`,
      suggestion(type, ['CMD', 'NONE']) ?? 'write CMD COMMAND or NONE',
    );
  const command = parseCommand(text);
  if (command.form === 'exec' ? command.words.length === 0 : command.text === '')
    throw new SyntaxProblem('HEALTHCHECK CMD has no command');
  return {
    command,
    ...given({
      interval: healthTime(flags, 'interval'),
      timeout: healthTime(flags, 'timeout'),
      startPeriod: healthTime(flags, 'start-period'),
      startInterval: healthTime(flags, 'start-interval'),
      retries: retriesOf(flags),
    }),
  };
}

/** In nanoseconds; undefined for 0, which means the default. */
function healthTime(flags: Flags, name: string): number | undefined {
  const text = flags.text(name);
  if (text === undefined || text === '') return undefined;
  const time = parseDuration(text);
  if (time !== 0 && time < 1e6) throw new SyntaxProblem(`--${name} must be 0 or at least 1ms, not ${text}`);
  return time === 0 ? undefined : time;
}

function retriesOf(flags: Flags): number | undefined {
  const text = flags.text('retries');
  if (text === undefined || text === '') return undefined;
  if (!/^\+?\d{1,9}$/.test(text)) throw new SyntaxProblem(`--retries is a number of 0 or more, not ${text}`);
  return Number(text) === 0 ? undefined : Number(text);
}
