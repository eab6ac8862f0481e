import type { Readable } from 'node:stream';
import type { BlobSource, Descriptor, Digest, RawManifest, Reference, Referrers } from '../spec/index.js';
import type { V1Repository, V1SearchResult } from './v1/types.js';

export type { BlobSource };

/** Reads one repository of a registry. */
export interface RepositoryReader {
  readonly host: string;
  readonly repository: string;
  /** Resolves a tag or digest to its descriptor by HEAD. Throws NotFoundError. */
  resolve(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<Descriptor>;
  /**
   * GET by tag or digest; returns the bytes as sent. Verifies a digest regardless of the headers. Limited to
   * MAX_MANIFEST_BYTES. `claimed`: the digest that `resolve` gave for the tag; a different one causes a warning.
   */
  manifest(
    reference: TagOrDigest,
    options: { readonly signal: AbortSignal; readonly claimed?: Digest | undefined },
  ): Promise<RawManifest>;
  /** A blob to stream. Blobs with a higher `priority` start first within the host's limit. */
  blob(descriptor: Descriptor, options?: { readonly priority?: number }): BlobSource;
  /**
   * The size of a blob in bytes, by HEAD, for when no manifest states it. Absent for protocol v1, whose blobs have no
   * digests. Throws NotFoundError.
   */
  blobSize?(digest: Digest, options: { readonly signal: AbortSignal }): Promise<number>;
  /** All tags in the server's order. Follows pages up to a limit. */
  tags(options: { readonly signal: AbortSignal }): AsyncIterable<string>;
  /** The manifests that refer to a manifest (signatures, SBOMs), from the referrers API or the referrers tag. */
  referrers(digest: Digest, options: { readonly signal: AbortSignal }): Promise<Referrers>;
}

/** Bytes to upload. They can be opened repeatedly, for retries and resumed uploads. */
export interface UploadSource {
  readonly descriptor: Descriptor;
  /** Opens a stream from byte `offset` on. Its errors end the upload and reach the caller. */
  open(options: { readonly signal: AbortSignal; readonly offset: number }): Promise<Readable>;
}

/** An unfinished upload at a registry, as plain data that a later process can use to resume it. */
export interface UploadSession {
  /** Absolute URL. Registries sign it, so treat it as a secret. */
  readonly location: string;
  /** The number of bytes received, as last reported by the registry. */
  readonly offset: number;
}

/** Options of `RepositoryWriter.uploadBlob`. */
export interface UploadOptions {
  readonly signal: AbortSignal;
  /** Resume this session if the registry still knows it. */
  readonly session?: UploadSession | undefined;
  /** Nothing has been sent to `session` yet, because a mount request has just opened it. */
  readonly sessionIsNew?: boolean;
  /** Called after each step with the session to save, or with undefined when nothing is left to resume. */
  readonly onSession?: (session: UploadSession | undefined) => Promise<void>;
  /** Called with the number of bytes sent so far. */
  readonly onProgress?: (transferred: number) => void;
  /** Called with a message for users on each interruption. */
  readonly onRetry?: (message: string) => void;
}

/** Writes to one repository of a registry. All methods throw AuthenticationError, RegistryError, TransportError, AbortError. */
export interface RepositoryWriter {
  readonly host: string;
  readonly repository: string;
  /** HEAD: true when the repository has the blob. */
  hasBlob(digest: Digest, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /** HEAD: true when the repository has the manifest, and therefore everything it refers to. */
  hasManifest(digest: Digest, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /**
   * Mounts the blob from another repository of the same host. When the registry declines, it may have opened an upload
   * session instead, to be used by `uploadBlob` or ended by `cancelUpload`.
   */
  mountBlob(
    digest: Digest,
    from: string,
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly mounted: boolean; readonly session?: UploadSession }>;
  /**
   * Uploads a blob, in one piece when it is small and in chunks when it is large. Resumes after a broken connection and
   * starts over when the registry has lost the session. Throws SizeMismatchError when the source is shorter than its
   * descriptor says.
   */
  uploadBlob(source: UploadSource, options: UploadOptions): Promise<void>;
  /** Cancels a session. Ignores failures. */
  cancelUpload(session: UploadSession, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Publishes the bytes of a manifest under a tag or under its own digest. */
  putManifest(manifest: RawManifest, reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Removes a tag, or a manifest with all its tags. Not every registry can remove a tag alone. Also throws NotFoundError. */
  deleteManifest(reference: TagOrDigest, options: { readonly signal: AbortSignal }): Promise<void>;
}

export type TagOrDigest =
  | { readonly tag: string; readonly digest?: Digest }
  | { readonly digest: Digest; readonly tag?: string };

/** Opens repositories. Owns connections and per-host queues. The caller closes it. */
export interface RegistryClient {
  /**
   * Opens a repository for reading. With `mirrors: false`, reads from the same place that `openWriter` writes to,
   * bypassing mirrors and remapped locations. Default: true, according to the client's `sources`.
   */
  open(
    reference: Pick<Reference, 'host' | 'repository'>,
    options: { readonly signal: AbortSignal; readonly mirrors?: boolean },
  ): Promise<RepositoryReader>;
  /** Opens a repository for writing. `mountFrom`: repositories of the same host to mount blobs from. */
  openWriter(
    reference: Pick<Reference, 'host' | 'repository'>,
    options: { readonly signal: AbortSignal; readonly mountFrom?: readonly string[] },
  ): Promise<RepositoryWriter>;
  /**
   * A foreign layer that the source of its manifest does not have, read from the URLs of its descriptor. Requests to
   * them carry no credentials. Blobs from `open` also fall back to these URLs when the registry lacks them.
   */
  foreignBlob(descriptor: Descriptor): BlobSource;
  /** All repositories of a host. Follows pages up to a limit. Many registries do not support it. Throws as RepositoryReader does. */
  catalog(host: string, options: { readonly signal: AbortSignal }): AsyncIterable<string>;
  /**
   * Checks that a host supports the protocol and accepts the credentials. Throws AuthenticationError when credentials
   * are refused or missing, RegistryError, TransportError, AbortError.
   */
  ping(host: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /**
   * The repository over protocol v1 when that is requested or the host supports nothing else; undefined: use `open`.
   * `after`: the error of a v2 request to the host; without one, v1 is not probed. Throws TransportError, AbortError.
   */
  openV1(
    reference: Pick<Reference, 'host' | 'repository' | 'registryVersion'>,
    options: { readonly signal: AbortSignal; readonly after?: unknown },
  ): Promise<V1Repository | undefined>;
  /** Searches an index (protocol v1) for repositories. Returns at most `limit` results. Throws as V1Repository does. */
  search(
    host: string,
    term: string,
    options: { readonly limit: number; readonly signal: AbortSignal },
  ): Promise<V1SearchResult[]>;
  /** Totals so far: requests and body bytes. */
  readonly statistics: { readonly requests: number; readonly bytesReceived: number; readonly bytesSent: number };
  close(): Promise<void>;
}
