import type { Digest, ManifestFormat, Reference } from '../../spec/index.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { PushConversion } from '../copy/index.js';
import type { PushedState } from './push-blob.js';

/** What to push and where to. */
export interface PushRequest extends Omit<PushConversion, 'format'> {
  /** Docker's schema 1 (v2s1) has layers as v2s2 has them, and no config. `v1`: by registry protocol v1. */
  readonly format?: ManifestFormat | 'v2s1' | 'v1' | undefined;
  readonly record: ImageRecord;
  /** Host and repository; its tag, if any, is set. */
  readonly reference: Reference;
  /** Further tags to set. */
  readonly tags: readonly string[];
  readonly signal: AbortSignal;
}

/** A blob of the result; bytes. */
export interface PushedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly state: PushedState;
}

/** Result of a push; `bytes`: body bytes sent. */
export interface PushResult {
  readonly id: Digest;
  readonly name: string;
  /** Digest of the manifest. */
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly layers: readonly PushedLayer[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}

/** What a push would do; bytes. */
export interface PushPlan {
  readonly reference: string;
  readonly digest: Digest;
  /** `mounted` and `uploaded` say what would happen. */
  readonly layers: readonly PushedLayer[];
  readonly uploadBytes: number;
  readonly mountBytes: number;
  readonly presentBytes: number;
}
