import type { Change } from '../rootfs/index.js';
import type { SnapshotOrigin } from './types.js';

/** Two trees to compare, as absolute paths. */
export interface ChangesInput {
  /** A committed layer; undefined: everything is added. */
  readonly lower: string | undefined;
  /** A frozen (read-only) snapshot. */
  readonly upper: string;
  readonly signal?: AbortSignal | undefined;
  /** Hears in one line why both trees are walked where that was not to be expected. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** What is known of subvolumes that are gone; asked for only when btrfs alone does not know how the trees are related. */
  readonly recordedOrigins?: (() => Promise<readonly SnapshotOrigin[]>) | undefined;
}

/**
 * The changes from `lower` to `upper`, sorted by path, in a time that depends on their number and not on the size of the
 * trees; where btrfs cannot tell them, by walking both trees. Throws SyscallError, AbortError.
 */
export async function changes(input: ChangesInput): Promise<Change[]> {
  // Loaded when it is needed: finding the store and listing its images must not load native code.
  return (await import('./find-changes.js')).findChanges(input);
}
