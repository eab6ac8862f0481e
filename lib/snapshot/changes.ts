import type { Change } from '../rootfs/index.js';
import type { ChangesInput } from './types.js';

/**
 * The changes from `lower` to `upper`, sorted by path, in a time that depends on their number and not on the size of the
 * trees; where btrfs cannot tell them, by walking both trees. Throws SyscallError, AbortError.
 */
export async function changes(input: ChangesInput): Promise<Change[]> {
  // Loaded when it is needed: finding the store and listing its images must not load native code.
  return (await import('./find-changes.js')).findChanges(input);
}
