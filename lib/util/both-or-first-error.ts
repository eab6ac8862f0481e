/** Error codes of one end of a stream after the other end has failed. */
const FOLLOWS: ReadonlySet<string> = new Set([
  'ABORT_ERR',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'EBADF',
]);

/**
 * Waits for both ends of a stream. When both fail, throws the error that is the cause: the first that is more than a
 * broken stream, or else the first.
 */
export async function bothOrFirstError<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  try {
    return await Promise.all([a, b]);
  } catch (error) {
    if (!isCut(error)) {
      await Promise.allSettled([a, b]);
      throw error;
    }
    for (const end of await Promise.allSettled([a, b])) {
      if (end.status === 'rejected' && !isCut(end.reason)) throw end.reason;
    }
    throw error;
  }
}

function isCut(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'AbortError' || FOLLOWS.has((error as NodeJS.ErrnoException).code ?? '');
}
