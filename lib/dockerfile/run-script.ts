import { heredocBody, parseHeredocStart } from './heredoc.js';
import type { Command, RunInstruction } from './instructions.js';

/** The shell of RUN, CMD and ENTRYPOINT where neither SHELL nor the base names one. */
export const DEFAULT_SHELL: readonly string[] = ['/bin/sh', '-c'];

/** Mount point of a heredoc that RUN executes as a script. */
const SCRIPT_DIRECTORY = '/dev/pipes';

/** What RUN executes. */
export interface RunScript {
  readonly argv: readonly string[];
  /** A file that must be there meanwhile: mode 0755, in a read-only mount of its directory. */
  readonly file?: { readonly path: string; readonly text: string };
}

/**
 * The words that a RUN executes. `shell`: that of SHELL. A single heredoc is the script: executed itself when it begins with
 * `#!`, else given to the shell. With anything beside it, the shell gets the line and the bodies and reads the heredocs itself.
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

/** A command as a config has it: the exec form as it is, the shell form behind `shell`. */
export function commandWords(command: Command, shell: readonly string[] = DEFAULT_SHELL): string[] {
  return command.form === 'exec' ? [...command.words] : [...shell, command.text];
}
