/** What of a mirror the command line adds. */
export interface SyncFileOptions {
  /** Where what a skopeo file lists goes. */
  readonly targets: readonly string[];
  /** Puts host and path of the source below the target, not the last part of its name. */
  readonly scoped: boolean;
  /** `scoped` was given for this file: refused where it is of no effect. Default: false. */
  readonly scopedByFlag?: boolean;
}
