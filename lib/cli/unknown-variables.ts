import { namesOf, type CommandSpec } from './command.js';
import { closest } from '../util/index.js';
import { allCommands } from './commands/index.js';
import { GLOBAL_OPTIONS } from './options/global.js';
import { variablesOf } from './options/option.js';

/**
 * Warns of each environment variable that looks like a misspelt option variable. `command`: the command being run;
 * variables of other commands are considered only when its own do not explain all.
 */
export async function misspeltVariables(env: NodeJS.ProcessEnv, command: CommandSpec): Promise<string[]> {
  const own = knownVariables([command]);
  const given = Object.keys(env).filter((name) => name.startsWith('IMGTOOL_') && !own.has(name));
  if (given.length === 0) return [];
  const known = knownVariables(await allCommands());
  return given.flatMap((name) => {
    if (known.has(name)) return [];
    // Without the common prefix, which would make all names similar.
    const near = closest(
      name.slice('IMGTOOL_'.length),
      [...known].map((variable) => variable.slice('IMGTOOL_'.length)),
    );
    return near === undefined ? [] : [`warning: the variable ${name} is not known; did you mean IMGTOOL_${near}?`];
  });
}

function knownVariables(commands: readonly CommandSpec[]): ReadonlySet<string> {
  return new Set([
    ...GLOBAL_OPTIONS.flatMap((option) => variablesOf(option, [[]])),
    ...commands.flatMap((command) => command.options.flatMap((option) => variablesOf(option, namesOf(command)))),
  ]);
}
