import type { CommandContext, CommandExit, CommandResult } from '../command.js';

/**
 * Does `act` for each argument, whatever becomes of the others: a failure is told at once, an interruption ends it. Then what
 * was done is printed as `render` gives it, and the exit code is that of the first failure.
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
