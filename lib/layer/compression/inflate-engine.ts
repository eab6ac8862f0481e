/** The input and output windows of one step. */
export interface InflateStep {
  readonly input: Uint8Array;
  readonly inputAddress: number;
  inputStart: number;
  inputEnd: number;
  readonly output: Uint8Array;
  readonly outputAddress: number;
  outputStart: number;
  readonly outputEnd: number;
}

/** Decompresses deflate streams, one after another. */
export interface InflateEngine {
  /** True when the engine also reads and checks the gzip trailer; otherwise the caller does. */
  readonly takesTrailer: boolean;
  /** True after the final block of the stream, when all output has been written. */
  readonly done: boolean;
  reset(): void;
  /**
   * Consumes input and produces output as far as possible. Returns a description if the data is corrupt. `ended`: the
   * blob ends with this input. Engines that work on other threads return a promise.
   */
  step(step: InflateStep, ended: boolean): string | undefined | Promise<string | undefined>;
}
