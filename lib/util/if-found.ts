import { NotFoundError } from '../errors.js';

/** The result of `found`; undefined when it rejects with NotFoundError. */
export async function ifFound<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
