import { ImgtoolError } from '../../errors.js';
import type { OperationDeps } from '../deps.js';

/** The result of `work`; undefined when it fails, with a warning that starts with `failure`. Throws AbortError and bugs. */
export async function tolerated<T>(
  { progress }: Pick<OperationDeps, 'progress'>,
  { failure, signal }: { readonly failure: string; readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ImgtoolError)) throw error;
    progress.note(`warning: ${failure}: ${error.message}`);
    return undefined;
  }
}
