/**
 * What long work tells about itself: typed events and the sink they go to. Draws nothing. May import `errors` only.
 */

/** What is being worked on. */
export type ProgressSubject = 'manifest' | 'config' | 'blob' | 'layer';
/** `waiting`: another process is downloading the same blob. */
export type ProgressState = 'queued' | 'waiting' | 'active' | 'skipped' | 'mounted' | 'done' | 'retrying';

/** One event of the `--progress json` stream; `v` is the version of this shape. Fields may be added, never renamed. */
export interface ProgressEvent {
  readonly v: 1;
  readonly kind: ProgressSubject;
  readonly action: 'fetch' | 'unpack' | 'pack' | 'upload' | 'save';
  /** Digest of the blob, or diffID of the layer. */
  readonly digest: string;
  readonly state: ProgressState;
  /** Bytes done so far, `total` when known. */
  readonly transferred?: number;
  readonly total?: number;
  /** One line for people, such as why a retry happens. */
  readonly message?: string;
}

/** One event about a step of a build; `v` is the version of this shape. Fields may be added, never renamed. */
export interface StepEvent {
  readonly v: 1;
  readonly kind: 'step';
  /** Tells steps of one build apart. */
  readonly step: string;
  /** Name of the stage, or its number. */
  readonly stage: string;
  /** Number of the step in its stage, from 1, and how many there are. */
  readonly number: number;
  readonly count: number;
  /** The instruction on one line. */
  readonly text: string;
  /** `output`: the command wrote `output`. `packed`: its layer has `bytes`. */
  readonly state: 'active' | 'cached' | 'done' | 'failed' | 'output' | 'packed';
  readonly seconds?: number;
  /** Of the layer's blob. */
  readonly bytes?: number;
  readonly output?: string;
  /** With `active`: why it was not found in the cache. */
  readonly missed?: readonly string[];
}

/** Where progress and remarks go. Must not throw; `note` is for a one-line remark to the user (said on stderr). */
export interface ProgressSink {
  event(event: ProgressEvent): void;
  /** Takes events of a build. */
  step?(event: StepEvent): void;
  note(message: string): void;
}

/** Takes everything, says nothing. */
export const SILENT: ProgressSink = { event: () => undefined, note: () => undefined };
