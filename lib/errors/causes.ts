import { SyscallError } from './machine.js';

/** Linux errors that libuv has no name for; node calls them `Unknown system error -122`. */
const NAMELESS: ReadonlyMap<number, string> = new Map([
  [-116, 'ESTALE'],
  [-117, 'EUCLEAN'],
  [-121, 'EREMOTEIO'],
  [-122, 'EDQUOT'],
]);

/** The name (`ENOSPC`) of a system error, whether raised by node or by imgtool; undefined for other errors. */
export function systemErrorName(error: unknown): string | undefined {
  if (error instanceof SyscallError) return error.errno;
  if (!(error instanceof Error)) return undefined;
  const { code, errno } = error as NodeJS.ErrnoException;
  return (errno === undefined ? undefined : NAMELESS.get(errno)) ?? code;
}

/** Reports whether `error` is a system error for a full disk or an exhausted quota. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(systemErrorName(error) ?? '');
}

/** Returns the first of `error` and its causes that satisfies `test`. */
export function findCause(error: unknown, test: (cause: Error) => boolean): Error | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 10; current = current.cause, depth += 1) {
    if (test(current)) return current;
  }
  return undefined;
}
