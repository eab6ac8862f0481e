/** The error that `promise` is rejected with; fails the test when it is not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { readonly hint?: string }> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error(`an error was expected, not ${String(value)}`);
}
