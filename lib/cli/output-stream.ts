/** A stream as far as the terminal needs it: process.stdout, process.stderr, or a test's. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  /** `done` is called when the data has been handed on. */
  write(data: string | Uint8Array, done?: (error?: Error | null) => void): unknown;
}
