import { NotFoundError, UsageError } from '../../errors.js';
import type { CommandContext, CommandExit, CommandResult } from '../command.js';

/**
 * Calls `act` for each argument. A failure is reported at once and does not stop the others; an interruption does. Then
 * prints the results as `render` returns them; the exit code is that of the first failure.
 */
export async function forEachArgument<T>(
  { args, signal, print, fail }: CommandContext,
  act: (arg: string) => Promise<T>,
  render: (done: readonly T[]) => CommandResult,
): Promise<CommandResult | CommandExit> {
  const done: T[] = [];
  let exitCode: number | undefined;
  for (const arg of args) {
    try {
      done.push(await act(arg));
    } catch (error) {
      const code = await fail(arg, error);
      exitCode ??= code;
      if (signal.aborted) break;
    }
  }
  if (exitCode === undefined) return render(done);
  if (done.length > 0) print(render(done));
  return { exitCode };
}

/** The arguments, or the names that `list` returns with `--all` or `--filter`. Throws UsageError when neither or both are given. */
export async function argumentsOrAll(
  { args, options }: Pick<CommandContext, 'args' | 'options'>,
  what: string,
  list: (filters: readonly string[]) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const filters = options.list('filter');
  if (!options.flag('all') && filters.length === 0) {
    if (args.length > 0) return args;
    throw new UsageError(`missing required argument '${what}'`, { hint: `name one, or give --all` });
  }
  if (args.length === 0) return list(filters);
  throw new UsageError(`--all and --filter go without ${what}`, { hint: 'leave out the one or the other' });
}

/** Resolves with the result of `act`, or, if `ignore` is set, with undefined when the object does not exist. */
export async function ignoring<T>(ignore: boolean, act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (ignore && error instanceof NotFoundError) return undefined;
    throw error;
  }
}
