/** Progress reporting: typed events and the sink that receives them. Displays nothing. May import `errors` only. */

export type ProgressSubject = 'manifest' | 'config' | 'blob' | 'layer';
/** `waiting`: another process is downloading the same blob. */
export type ProgressState = 'queued' | 'waiting' | 'active' | 'skipped' | 'mounted' | 'done' | 'retrying';

/** One event of the `--progress json` stream; `v` is the version of its format. Fields may be added, never renamed. */
export interface ProgressEvent {
  readonly v: 1;
  readonly kind: ProgressSubject;
  readonly action: 'fetch' | 'unpack' | 'pack' | 'upload' | 'save';
  /** Digest of the blob, or diffID of the layer. */
  readonly digest: string;
  readonly state: ProgressState;
  /** Bytes done so far; `total` if known. */
  readonly transferred?: number;
  readonly total?: number;
  /** A one-line message for users, such as the reason for a retry. */
  readonly message?: string;
}

/** One event of a build step; `v` is the version of its format. Fields may be added, never renamed. */
export interface StepEvent {
  readonly v: 1;
  readonly kind: 'step';
  /** Distinguishes the steps of one build. */
  readonly step: string;
  /** Name or number of the stage. */
  readonly stage: string;
  /** Number of the step within its stage, from 1; `total` steps. */
  readonly number: number;
  readonly count: number;
  /** The instruction on one line. */
  readonly text: string;
  /** `output`: the command wrote `output`. `packed`: its layer has `bytes`. */
  readonly state: 'active' | 'cached' | 'done' | 'failed' | 'output' | 'packed';
  readonly seconds?: number;
  /** Size of the layer's blob. Bytes. */
  readonly bytes?: number;
  readonly output?: string;
  /** With `active`: why the step was not found in the cache. */
  readonly missed?: readonly string[];
}

/** Receives progress and notes. Must not throw. `note` takes a one-line note for the user (shown on stderr). */
export interface ProgressSink {
  event(event: ProgressEvent): void;
  /** Receives the events of a build. */
  step?(event: StepEvent): void;
  note(message: string): void;
}

/** Discards everything. */
export const SILENT: ProgressSink = { event: () => undefined, note: () => undefined };
