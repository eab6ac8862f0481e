import type { FileHandle } from 'node:fs/promises';

/** A published blob, open for reading. The caller closes `handle`. */
export interface OpenBlob {
  readonly handle: FileHandle;
  /** Size in bytes. */
  readonly size: number;
}
