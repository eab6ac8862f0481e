import { heredocBody, parseHeredocStart } from './heredoc.js';
import type { Command, RunInstruction } from './instructions.js';

/** The shell of RUN, CMD and ENTRYPOINT if neither SHELL nor the base names one. */
export const DEFAULT_SHELL: readonly string[] = ['/bin/sh', '-c'];

/** Mount point of a heredoc that RUN executes as a script. */
const SCRIPT_DIRECTORY = '/dev/pipes';

/** The command line of a RUN. */
export interface RunScript {
  readonly argv: readonly string[];
  /** A file with mode 0755 to provide during the run, in a read-only mount of its directory. */
  readonly file?: { readonly path: string; readonly text: string };
}

/**
 * The command line of a RUN. `shell`: from SHELL. A single heredoc is the script: executed directly if it begins with `#!`, otherwise
 * passed to the shell. If the line has anything else, the shell gets the line with all bodies and reads the heredocs itself.
 */
export function runScript({ command, heredocs }: RunInstruction, shell: readonly string[] = DEFAULT_SHELL): RunScript {
  const [first] = heredocs;
  if (command.form === 'exec' || first === undefined) return { argv: commandWords(command, shell) };
  if (parseHeredocStart(command.text) === undefined) {
    const bodies = heredocs.map(({ name, body }) => `\n${body}${name}`);
    return { argv: [...shell, command.text + bodies.join('')] };
  }
  const text = heredocBody(first);
  if (!text.startsWith('#!')) return { argv: [...shell, text] };
  const path = `${SCRIPT_DIRECTORY}/${first.name}`;
  return { argv: [path], file: { path, text } };
}

/** A command in the config's form: the exec form unchanged, the shell form after `shell`. */
export function commandWords(command: Command, shell: readonly string[] = DEFAULT_SHELL): string[] {
  return command.form === 'exec' ? [...command.words] : [...shell, command.text];
}
