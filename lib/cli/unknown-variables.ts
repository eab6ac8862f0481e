import { namesOf, type CommandSpec } from './command.js';
import { closest } from '../util/index.js';
import { allCommands } from './commands/index.js';
import { GLOBAL_OPTIONS } from './options/global.js';
import { variablesOf } from './options/option.js';

/**
 * A warning for each variable of the environment that is nearly, but not quite, one that sets an option: a slip. `command`:
 * the one that runs; those of others are looked at only where its own do not explain all variables.
 */
export async function misspeltVariables(env: NodeJS.ProcessEnv, command: CommandSpec): Promise<string[]> {
  const own = knownVariables([command]);
  const given = Object.keys(env).filter((name) => name.startsWith('IMGTOOL_') && !own.has(name));
  if (given.length === 0) return [];
  const known = knownVariables(await allCommands());
  return given.flatMap((name) => {
    if (known.has(name)) return [];
    // Without the common beginning, which would make nearly everything similar.
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
