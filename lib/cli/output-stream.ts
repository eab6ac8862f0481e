/** The part of process.stdout and process.stderr that the terminal uses. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  /** Calls `done` when the data has been handed on. */
  write(data: string | Uint8Array, done?: (error?: Error | null) => void): unknown;
}
