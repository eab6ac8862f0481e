import type { Writable } from 'node:stream';
import type { OperationDeps } from './deps.js';
import { findContainer } from './find-container.js';
import { withFrozen } from './freeze-container.js';

/** What to export. */
export interface ExportRequest {
  /** Name, ID or unique prefix of one. */
  readonly container: string;
  /** Takes the tar; ended on success, destroyed on failure. */
  readonly output: Writable;
  readonly signal: AbortSignal;
}

/** Result of an export. */
export interface ExportResult {
  /** ID of the container. */
  readonly id: string;
  /** Bytes written. */
  readonly bytes: number;
  readonly entries: number;
}

/**
 * Writes all files of a container, as they are at this moment, as one tar; the container may be changed meanwhile. Throws
 * NotFoundError, UsageError, LayerFormatError (a name without a form in a tar of layers), SyscallError, AbortError.
 */
export async function exportContainer(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'compareTrees' | 'packLayer' | 'progress'>,
  { container, output, signal }: ExportRequest,
): Promise<ExportResult> {
  const { id } = await findContainer(deps, container);
  return withFrozen(deps, { id, signal }, async ({ path }) => {
    const entries = await deps.compareTrees({ lower: undefined, upper: path, signal });
    const packed = await deps.packLayer({
      lower: undefined,
      upper: path,
      changes: [{ kind: 'C', path: Buffer.from('/') }, ...entries],
      compression: 'none',
      output,
      signal,
    });
    for (const note of packed.notes) deps.progress.note(note);
    return { id, bytes: packed.tarSize, entries: packed.entries };
  });
}
