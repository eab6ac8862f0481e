/** A window of input and one of output, as an engine needs them. */
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

/** Decompresses deflate streams, one after the other. */
export interface InflateEngine {
  /** Takes and checks the trailer of the gzip member too; otherwise that is left to the caller. */
  readonly takesTrailer: boolean;
  /** The final block of the stream has ended and everything was written out. */
  readonly done: boolean;
  reset(): void;
  /**
   * Consumes input and produces output as far as both go; returns a description of what is corrupt. `ended`: the
   * blob ends with this input. A promise from engines that work on other threads.
   */
  step(step: InflateStep, ended: boolean): string | undefined | Promise<string | undefined>;
}
