import type { Change } from '../rootfs/index.js';
import type { ChangesInput } from './types.js';

/**
 * The changes from `lower` to `upper`, sorted by path. The time is proportional to the number of changes, not to the
 * size of the trees; when btrfs cannot report them, both trees are walked instead. Throws SyscallError, AbortError.
 */
export async function changes(input: ChangesInput): Promise<Change[]> {
  // Loaded on demand, because finding the store and listing its images must not load native code.
  return (await import('./find-changes.js')).findChanges(input);
}
