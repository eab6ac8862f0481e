import type { Digest, Reference } from '../../spec/index.js';

/** What all that make an image are told of it. */
export interface NewImageRequest {
  /** Name of the new image; without it the image has an ID only. */
  readonly reference?: Reference | undefined;
  /** For the history. */
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  /** Dockerfile instructions for the config, applied in order. */
  readonly changes: readonly string[];
  /** Seconds since 1970 (reproducible-builds.org): no packed file and no date of the config is newer. */
  readonly sourceDateEpoch?: number | undefined;
  /** Bytes to leave free on the store's file system; else 1 GiB, or half of the room when there is less than 2 GiB. */
  readonly reserveBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/** An image that was made. */
export interface NewImageResult {
  readonly id: Digest;
  readonly name: string | undefined;
  /** Digest of the manifest. */
  readonly digest: Digest;
}
