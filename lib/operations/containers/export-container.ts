import type { Writable } from 'node:stream';
import type { OperationDeps } from '../deps.js';
import { withFrozen } from '../layers/index.js';
import { findContainer } from '../store/index.js';

export interface ExportRequest {
  /** Name, ID or unique prefix of one. */
  readonly container: string;
  /** Receives the tar; ended on success, destroyed on failure. */
  readonly output: Writable;
  readonly signal: AbortSignal;
}

export interface ExportResult {
  /** ID of the container. */
  readonly id: string;
  /** Bytes written. */
  readonly bytes: number;
  readonly entries: number;
}

/**
 * Writes a snapshot of all files of a container as one tar. Throws NotFoundError, UsageError, LayerFormatError (a file
 * that tar cannot represent), SyscallError, AbortError.
 */
export async function exportContainer(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'packTree' | 'progress'>,
  { container, output, signal }: ExportRequest,
): Promise<ExportResult> {
  const { id } = await findContainer(deps, container);
  return withFrozen(deps, { id, signal }, async ({ path }) => {
    const packed = await deps.packTree({ root: path, name: Buffer.alloc(0), output, signal });
    for (const note of packed.notes) deps.progress.note(note);
    return { id, bytes: packed.tarSize, entries: packed.entries };
  });
}
