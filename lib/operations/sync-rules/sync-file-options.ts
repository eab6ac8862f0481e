/** Settings of a mirror from the command line. */
export interface SyncFileOptions {
  /** Targets for a skopeo file. */
  readonly targets: readonly string[];
  /** Appends host and path of the source to the target, instead of the last part of its name. */
  readonly scoped: boolean;
  /** True if `scoped` was given for this file; refused if it has no effect. Default: false. */
  readonly scopedByFlag?: boolean;
}
