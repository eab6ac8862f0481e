/** Ends the use of something that was opened: closes, releases or removes it. */
export type Close = () => unknown;

/** Runs all of `closes`, one after the other, whatever they throw. Throws the first error. */
export async function closeAll(closes: Iterable<Close>): Promise<void> {
  const errors: unknown[] = [];
  for (const close of closes) {
    try {
      await close();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/**
 * Does `work` and then runs all of `closes`, including those that `work` has added. Throws the error of `work`, or else the first one
 * of closing.
 */
export async function thenCloseAll<T>(work: () => Promise<T>, closes: Iterable<Close>): Promise<T> {
  const result = await orCloseAll(work, closes);
  await closeAll(closes);
  return result;
}

/** Does `work`; if it fails, runs all of `closes`, including those that `work` has added. Throws the error of `work`. */
export async function orCloseAll<T>(work: () => Promise<T>, closes: Iterable<Close>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await closeAll(closes).catch(() => undefined);
    throw error;
  }
}
