import type { Readable } from 'node:stream';
import type { Descriptor, Digest, RawManifest, Reference } from '../spec/index.js';

/** Bytes a registry can give. Reopenable: that is what makes retry and resume possible. */
export interface BlobSource {
  readonly descriptor: Descriptor;
  /**
   * Streams the blob from `offset` bytes on; the stream does not verify (the ingest does). `restarted` tells that the server ignored the
   * Range and sends from 0. The host slot is held until the stream ends or is destroyed. Throws NotFoundError,
   * AuthenticationError, RegistryError, TransportError, AbortError. A cut connection surfaces as TransportError on the stream.
   */
  open(options: {
    readonly signal: AbortSignal;
    readonly offset?: number;
  }): Promise<{ readonly body: Readable; readonly restarted: boolean }>;
}

/** One repository at a registry, read side. */
export interface RepositoryReader {
  readonly host: string;
  readonly repository: string;
  /** HEAD by tag or digest: the descriptor, without the body. Throws NotFoundError when there is none. */
  resolve(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<Descriptor>;
  /** GET by tag or digest, bytes as sent; a digest is honoured whatever the headers say. Capped at MAX_MANIFEST_BYTES. */
  manifest(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<RawManifest>;
  /** A blob to stream. `priority`: higher starts first within the host's limit. */
  blob(descriptor: Descriptor, options?: { readonly priority?: number }): BlobSource;
  /** All tags, paged through, bounded; order of the server. */
  tags(options: { readonly signal: AbortSignal }): AsyncIterable<string>;
}

/** What a manifest is asked for by. */
export type TagOrDigest =
  { readonly tag: string; readonly digest?: Digest } | { readonly digest: Digest; readonly tag?: string };

/** Opens repositories; holds the connections and per-host queues. Closed by its creator. */
export interface RegistryClient {
  open(
    reference: Pick<Reference, 'host' | 'repository'>,
    options: { readonly signal: AbortSignal },
  ): Promise<RepositoryReader>;
  /** Requests sent and body bytes received so far. */
  readonly statistics: { readonly requests: number; readonly bytesReceived: number };
  close(): Promise<void>;
}
