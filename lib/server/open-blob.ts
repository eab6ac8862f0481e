import type { FileHandle } from 'node:fs/promises';

/** A published blob, open for reading; the caller closes `handle`. */
export interface OpenBlob {
  readonly handle: FileHandle;
  /** Bytes. */
  readonly size: number;
}
