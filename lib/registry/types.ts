import type { Readable } from 'node:stream';
import type { Descriptor, Digest, RawManifest, Reference } from '../spec/index.js';
import type { V1Repository, V1SearchResult } from './v1/types.js';

/** Bytes a registry can give. Reopenable: that is what makes retry and resume possible. */
export interface BlobSource {
  readonly descriptor: Descriptor;
  /** How many parts of it may be fetched at once; `auto`: several where one connection is slow. Default 1. */
  readonly connections?: number | 'auto';
  /** Number of places that have it: how often to start over when the bytes are wrong. Default 1. */
  readonly places?: number;
  /**
   * Streams the blob from `offset` bytes on; the stream does not verify (the ingest does). `restarted` tells that the server ignored the
   * Range and sends from 0. With `length`, only so many bytes come where `ranged` says so; otherwise all the rest does. The host slot is held until the stream ends or is destroyed. Throws NotFoundError,
   * AuthenticationError, RegistryError, TransportError, AbortError. A cut connection surfaces as TransportError on the stream.
   */
  open(options: {
    readonly signal: AbortSignal;
    readonly offset?: number;
    readonly length?: number;
  }): Promise<{ readonly body: Readable; readonly restarted: boolean; readonly ranged?: boolean }>;
}

/** One repository at a registry, read side. */
export interface RepositoryReader {
  readonly host: string;
  readonly repository: string;
  /** HEAD by tag or digest: the descriptor, without the body. Throws NotFoundError when there is none. */
  resolve(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<Descriptor>;
  /**
   * GET by tag or digest, bytes as sent; a digest is honoured whatever the headers say. Capped at MAX_MANIFEST_BYTES. `claimed`: the
   * digest that `resolve` told of the tag; people are warned where the bytes have another.
   */
  manifest(
    reference: TagOrDigest,
    options: { readonly signal: AbortSignal; readonly claimed?: Digest | undefined },
  ): Promise<RawManifest>;
  /** A blob to stream. `priority`: higher starts first within the host's limit. */
  blob(descriptor: Descriptor, options?: { readonly priority?: number }): BlobSource;
  /** HEAD of a blob whose size no manifest tells: bytes. Absent where blobs have no digests (protocol v1). Throws NotFoundError. */
  blobSize?(digest: Digest, options: { readonly signal: AbortSignal }): Promise<number>;
  /** All tags, paged through, bounded; order of the server. */
  tags(options: { readonly signal: AbortSignal }): AsyncIterable<string>;
  /** What refers to a manifest (signatures, SBOMs): by the referrers API, or the tag that stands in for it. */
  referrers(digest: Digest, options: { readonly signal: AbortSignal }): Promise<Referrers>;
}

/** What refers to a manifest; `tag`: the registry does not keep account itself, a tag does (distribution-spec, "Referrers Tag Schema"). */
export interface Referrers {
  readonly via: 'api' | 'tag';
  readonly descriptors: readonly Descriptor[];
}

/** Bytes to upload. Reopenable: that is what makes retry and resume possible. */
export interface UploadSource {
  readonly descriptor: Descriptor;
  /** Streams from `offset` bytes on. What it throws, or its stream, ends the upload and is passed on. */
  open(options: { readonly signal: AbortSignal; readonly offset: number }): Promise<Readable>;
}

/** An upload under way at a registry: plain data, so that a later process can go on with it. */
export interface UploadSession {
  /** Absolute URL. Registries sign it: to be kept as a secret. */
  readonly location: string;
  /** Bytes the registry had when it last said so. */
  readonly offset: number;
}

/** Options of `RepositoryWriter.uploadBlob`. */
export interface UploadOptions {
  readonly signal: AbortSignal;
  /** Goes on with this one, if the registry still knows it. */
  readonly session?: UploadSession | undefined;
  /** Nothing was sent to `session` yet: it was opened by a mount just now. */
  readonly sessionIsNew?: boolean;
  /** Told of each step worth remembering; undefined: there is nothing to go on with any more. */
  readonly onSession?: (session: UploadSession | undefined) => Promise<void>;
  /** Told how many bytes of the blob are sent. */
  readonly onProgress?: (transferred: number) => void;
  /** Told once for each break, with a line for people. */
  readonly onRetry?: (message: string) => void;
}

/** One repository at a registry, write side. All methods throw AuthenticationError, RegistryError, TransportError, AbortError. */
export interface RepositoryWriter {
  readonly host: string;
  readonly repository: string;
  /** HEAD: whether the repository has the blob. */
  hasBlob(digest: Digest, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /** HEAD: whether the repository has the manifest, and with it all that it refers to. */
  hasManifest(digest: Digest, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /**
   * Takes the blob over from another repository of the same host. Where the registry does not, it may have opened an
   * upload session instead: to be used by `uploadBlob` or given up by `cancelUpload`.
   */
  mountBlob(
    digest: Digest,
    from: string,
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly mounted: boolean; readonly session?: UploadSession }>;
  /**
   * Uploads a blob, small ones in one piece, large ones in chunks; goes on where a connection broke, and starts over when
   * the registry has lost the session. Throws SizeMismatchError when the source is shorter than its descriptor says.
   */
  uploadBlob(source: UploadSource, options: UploadOptions): Promise<void>;
  /** Gives a session up; failures are of no interest. */
  cancelUpload(session: UploadSession, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Publishes a manifest, bytes as they are, under a tag or its own digest. */
  putManifest(manifest: RawManifest, reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Removes a tag, or a manifest with all its tags. Throws NotFoundError besides; not every registry lets tags alone be removed. */
  deleteManifest(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<void>;
}

/** What a manifest is asked for by. */
export type TagOrDigest =
  { readonly tag: string; readonly digest?: Digest } | { readonly digest: Digest; readonly tag?: string };

/** Opens repositories; holds the connections and per-host queues. Closed by its creator. */
export interface RegistryClient {
  /**
   * The read side of a repository. `mirrors: false`: what is there where `openWriter` writes and deletes, as no mirror and
   * no other location can tell it. Default: true, as the client's `sources` say.
   */
  open(
    reference: Pick<Reference, 'host' | 'repository'>,
    options: { readonly signal: AbortSignal; readonly mirrors?: boolean },
  ): Promise<RepositoryReader>;
  /** As `open`, to write. `mountFrom`: repositories of the host that blobs may be mounted from. */
  openWriter(
    reference: Pick<Reference, 'host' | 'repository'>,
    options: { readonly signal: AbortSignal; readonly mountFrom?: readonly string[] },
  ): Promise<RepositoryWriter>;
  /**
   * A layer that its manifest's source does not have: from the URLs of its descriptor, whose hosts are told nothing but what is
   * wanted. Those of `open` are looked for there too when the registry lacks them.
   */
  foreignBlob(descriptor: Descriptor): BlobSource;
  /** All repositories of a host, paged through, bounded. Many registries do not offer this. Throws as RepositoryReader does. */
  catalog(host: string, options: { readonly signal: AbortSignal }): AsyncIterable<string>;
  /**
   * Asks a host whether it speaks the protocol and lets us in. Throws AuthenticationError when it refuses the credentials
   * or wants some, RegistryError, TransportError, AbortError.
   */
  ping(host: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /**
   * The repository by protocol v1, when that is asked for, or when the host is known to speak nothing else; undefined: use
   * `open`. `after`: what a v2 request to the host ended with: only that is a reason to find out. Throws TransportError, AbortError.
   */
  openV1(
    reference: Pick<Reference, 'host' | 'repository' | 'registryVersion'>,
    options: { readonly signal: AbortSignal; readonly after?: unknown },
  ): Promise<V1Repository | undefined>;
  /** Searches an index (protocol v1) for repositories; `limit` results at most. Throws as V1Repository does. */
  search(
    host: string,
    term: string,
    options: { readonly limit: number; readonly signal: AbortSignal },
  ): Promise<V1SearchResult[]>;
  /** Requests sent, body bytes received and sent so far. */
  readonly statistics: { readonly requests: number; readonly bytesReceived: number; readonly bytesSent: number };
  close(): Promise<void>;
}
