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

/** Where progress and remarks go. Must not throw; `note` is for a one-line remark to the user (said on stderr). */
export interface ProgressSink {
  event(event: ProgressEvent): void;
  note(message: string): void;
}

/** Takes everything, says nothing. */
export const SILENT: ProgressSink = { event: () => undefined, note: () => undefined };
