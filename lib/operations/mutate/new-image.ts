import type { Digest, Reference } from '../../spec/index.js';

/** Settings common to all operations that create an image. */
export interface NewImageRequest {
  /** Name of the new image; without it the image has an ID only. */
  readonly reference?: Reference | undefined;
  /** Comment in the history. */
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  /** Dockerfile instructions for the config, applied in order. */
  readonly changes: readonly string[];
  /** Seconds since 1970 (reproducible-builds.org); upper limit for times of packed files and dates in the config. */
  readonly sourceDateEpoch?: number | undefined;
  /** Free space to keep on the store's file system, in bytes. Default: 1 GiB, or half of the free space if that is below 2 GiB. */
  readonly reserveBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/** A created image. */
export interface NewImageResult {
  readonly id: Digest;
  readonly name: string | undefined;
  /** Digest of the manifest. */
  readonly digest: Digest;
}
