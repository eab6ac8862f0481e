import type { Digest } from '../../spec/index.js';
import type { StoreDestinationDeps } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import type { ImageQuery, PulledLayer } from '../layers/index.js';

/** When the registry is asked: always; only if the image is missing; if its digest changed (or it is missing); never. */
export type PullPolicy = 'always' | 'missing' | 'newer' | 'never';

/** What to pull. */
export interface PullRequest extends ImageQuery {
  readonly policy: PullPolicy;
  /** Bytes to leave free on the store's file system. */
  readonly reserveBytes: number;
}

export type PullDeps = StoreDestinationDeps & Pick<OperationDeps, 'registry'>;

/** Result of a pull; `bytes` and `requests` as sent by the registry. */
export interface PullResult {
  readonly id: Digest;
  readonly name: string;
  /** Digest of the manifest of this platform. */
  readonly digest: Digest;
  readonly layers: readonly PulledLayer[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}
