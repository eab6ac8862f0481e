import type { ImageRecord } from '../../metadata/index.js';
import type { Digest, ManifestFormat, Reference } from '../../spec/index.js';
import type { Conversion } from '../convert/index.js';
import type { CopiedBlob, StoredLayerDeps } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';

/** What pushing needs. */
export type PushDeps = Omit<StoredLayerDeps, 'registry'> & Pick<OperationDeps, 'registry' | 'recompressLayer'>;

/** What to push and where to. */
export interface PushRequest extends Omit<Conversion, 'format'> {
  /** Docker's schema 1 (v2s1) has layers as v2s2 has them, and no config. `v1`: by registry protocol v1. */
  readonly format?: ManifestFormat | 'v2s1' | 'v1' | undefined;
  readonly record: ImageRecord;
  /** Host and repository; its tag, if any, is set. */
  readonly reference: Reference;
  /** Further tags to set. */
  readonly tags: readonly string[];
  readonly signal: AbortSignal;
}

/** Result of a push; `bytes`: body bytes sent. */
export interface PushResult {
  readonly id: Digest;
  readonly name: string;
  /** Digest of the manifest; by protocol v1, of that in the store. */
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly layers: readonly CopiedBlob[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}

/** What a push would do; bytes. */
export interface PushPlan {
  readonly reference: string;
  readonly digest: Digest;
  /** `mounted` and `uploaded` say what would happen. */
  readonly layers: readonly CopiedBlob[];
  readonly uploadBytes: number;
  readonly mountBytes: number;
  readonly presentBytes: number;
}

/** All tags to set, each once. */
export function tagsOf({ reference, tags }: Pick<PushRequest, 'reference' | 'tags'>): string[] {
  return [...new Set([...(reference.tag === undefined ? [] : [reference.tag]), ...tags])];
}
