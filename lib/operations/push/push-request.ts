import type { ImageRecord } from '../../metadata/index.js';
import type { Digest, ManifestFormat, Reference } from '../../spec/index.js';
import type { Conversion } from '../convert/index.js';
import type { CopiedBlob, StoredLayerDeps } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';

export type PushDeps = Omit<StoredLayerDeps, 'registry'> & Pick<OperationDeps, 'registry' | 'recompressLayer'>;

export interface PushRequest extends Omit<Conversion, 'format'> {
  /** `v2s1`: Docker's schema 1, with the layers of v2s2 and no config. `v1`: registry protocol v1. */
  readonly format?: ManifestFormat | 'v2s1' | 'v1' | undefined;
  readonly record: ImageRecord;
  /** Host and repository, and optionally a tag to set. */
  readonly reference: Reference;
  /** Further tags to set. */
  readonly tags: readonly string[];
  readonly signal: AbortSignal;
}

/** Result of a push; `bytes`: body bytes sent. */
export interface PushResult {
  readonly id: Digest;
  readonly name: string;
  /** Digest of the manifest; for protocol v1, of the one in the store. */
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly layers: readonly CopiedBlob[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}

/** The plan of a push; sizes in bytes. */
export interface PushPlan {
  readonly reference: string;
  readonly digest: Digest;
  /** `mounted` and `uploaded` are predictions. */
  readonly layers: readonly CopiedBlob[];
  readonly uploadBytes: number;
  readonly mountBytes: number;
  readonly presentBytes: number;
}

/** All tags to set, without duplicates. */
export function tagsOf({ reference, tags }: Pick<PushRequest, 'reference' | 'tags'>): string[] {
  return [...new Set([...(reference.tag === undefined ? [] : [reference.tag]), ...tags])];
}
