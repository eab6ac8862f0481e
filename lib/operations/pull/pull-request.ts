import type { Digest } from '../../spec/index.js';
import type { StoreDestinationDeps } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import type { ImageQuery, PulledLayer } from '../layers/index.js';

/** When to ask the registry: always; only if the image is missing; if it is missing or its digest changed; never. */
export type PullPolicy = 'always' | 'missing' | 'newer' | 'never';

export interface PullRequest extends ImageQuery {
  readonly policy: PullPolicy;
  /** Free space to keep on the store's file system, in bytes. */
  readonly reserveBytes: number;
}

export type PullDeps = StoreDestinationDeps & Pick<OperationDeps, 'registry'>;

/** Result of a pull; `bytes` and `requests` count what the registry served. */
export interface PullResult {
  readonly id: Digest;
  readonly name: string;
  /** Digest of this platform's manifest. */
  readonly digest: Digest;
  readonly layers: readonly PulledLayer[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}
