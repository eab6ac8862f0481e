import type { Descriptor, Digest, RawManifest } from '../spec/index.js';
import type { OpenBlob } from './open-blob.js';
import type { V1Storage } from './v1/types.js';

export type ManifestKey = { readonly tag: string } | { readonly digest: Digest };

/**
 * The source of the registry's content. Names, tags and digests are validated by the routes, so they are safe as paths.
 * `find*`, `stat*` and `open*` resolve with undefined for content that the repository does not have.
 */
export interface RegistryStorage {
  /** Names of all repositories with a manifest, sorted bytewise. */
  repositories(): Promise<readonly string[]>;
  /** Tags, sorted bytewise; undefined when the repository has no manifest. */
  tags(repository: string): Promise<readonly string[] | undefined>;
  /** The digest of a tag, without reading its manifest. */
  tagDigest(repository: string, tag: string): Promise<Digest | undefined>;
  findManifest(repository: string, key: ManifestKey): Promise<RawManifest | undefined>;
  /** Reports whether the manifest exists, without reading it. */
  hasManifest(repository: string, digest: Digest): Promise<boolean>;
  /** Size of a blob in bytes. */
  statBlob(repository: string, digest: Digest): Promise<{ readonly size: number } | undefined>;
  openBlob(repository: string, digest: Digest): Promise<OpenBlob | undefined>;
  /**
   * Descriptors of the manifests with this `subject`, sorted by digest, with artifactType and annotations. Read one at
   * a time. `after`: only digests that sort after this one.
   */
  referrers(repository: string, subject: Digest, after?: string): AsyncIterable<Descriptor>;
  /** Images pushed over protocol v1. Absent when unsupported; v2 images are readable over v1 anyway. */
  readonly v1?: V1Storage;
  /** Calls `listener` for each tag set from now on. Absent when others than `writer` may set tags. */
  readonly onTag?: (listener: TagListener) => void;
  /** Changes whenever a tag of the repository is set; undefined when that cannot be determined. */
  readonly tagsVersion?: (repository: string) => Promise<string | undefined>;
  /** Absent for a read-only storage: every write is then answered with 405 UNSUPPORTED. */
  readonly writer?: RegistryWriter;
  /** Releases locks and timers. The data stays. */
  close(): Promise<void>;
}

/** Receives the new manifest of a tag. Must not throw. */
export type TagListener = (repository: string, manifest: RawManifest) => void;

/** A manifest to publish. */
export interface ManifestPublication {
  readonly manifest: RawManifest;
  readonly tag?: string;
  /** For a manifest with a subject: its entry in the subject's list of referrers. */
  readonly referrer?: { readonly subject: Digest; readonly descriptor: Descriptor };
}

/** The writing half of a storage. Every call is atomic: a crash leaves the state before or after it. */
export interface RegistryWriter {
  /** Durable when resolved. Sets the tag, if any, last. */
  putManifest(repository: string, publication: ManifestPublication): Promise<void>;
  /** Removes the manifest and the tags that point to it. Resolves with false when it does not exist. */
  deleteManifest(repository: string, digest: Digest): Promise<boolean>;
  /** Resolves with false when the tag does not exist. */
  deleteTag(repository: string, tag: string): Promise<boolean>;
  /**
   * Removes the blob from the repository, and from the disk with its last repository. Resolves with false when the
   * repository does not have it.
   */
  deleteBlob(repository: string, digest: Digest): Promise<boolean>;
  /** Makes the blob visible in `repository`. Resolves with false when `from` (default: any repository) does not have it. */
  mountBlob(repository: string, digest: Digest, from?: string): Promise<boolean>;
  /** Opens an empty upload session. */
  startUpload(repository: string): Promise<BlobUpload>;
  /** Finds a session of the repository, even from before a restart; undefined when unknown or expired. */
  findUpload(repository: string, id: string): Promise<BlobUpload | undefined>;
}

/** An upload session, used by one request at a time: a newer request ends the older one. */
export interface BlobUpload {
  readonly id: string;
  /** Bytes on disk. */
  readonly offset: number;
  /**
   * Takes over the session and ends the request that holds it (`signal` notifies its source). Resolves when that
   * request has released it, or with undefined when the session has ended meanwhile. The caller must call `release`.
   */
  acquire(): Promise<UploadTurn | undefined>;
}

/** The right to modify an upload session, until `release`. */
export interface UploadTurn {
  /** Aborted when a newer request takes over. */
  readonly signal: AbortSignal;
  readonly offset: number;
  /**
   * Appends all of `source`. If it breaks off, the received bytes stay and count in `offset`. `limit`: the maximum
   * number of bytes; more throw SizeMismatchError and reset the session to its previous state.
   */
  append(source: AsyncIterable<Buffer>, options?: { readonly limit?: number }): Promise<void>;
  /** Verifies the digest and publishes the blob. Throws DigestMismatchError. The session ends either way. */
  commit(digest: Digest): Promise<void>;
  /** Ends the session and drops its bytes. */
  cancel(): Promise<void>;
  /** Idempotent. */
  release(): void;
}

/** A completed request, for an access log. */
export interface RequestLog {
  readonly method: string;
  /** Path and query as received. */
  readonly url: string;
  readonly status: number;
  /** Body bytes received. */
  readonly bytesReceived: number;
  /** Body bytes sent. */
  readonly bytesSent: number;
  readonly durationMs: number;
  /** Address of the client. */
  readonly remote: string;
  /** False when the connection broke before the response was complete. */
  readonly complete: boolean;
  /** The internal error behind a 500 response. */
  readonly error?: unknown;
}

/** Counters since the start. */
interface ServerStatistics {
  readonly requests: number;
  /** Body bytes received. */
  readonly bytesReceived: number;
  /** Body bytes sent. */
  readonly bytesSent: number;
}

export interface ServerOptions {
  /** Directory of the registry, created if missing; only one writing server at a time. Either this or `storage`. */
  readonly dir?: string;
  /** The storage to serve; closed with the server. */
  readonly storage?: RegistryStorage;
  /** @default 127.0.0.1, port 0 (any free port) */
  readonly listen?: { readonly host?: string; readonly port?: number };
  /** Refuses all changes. @default false */
  readonly readOnly?: boolean;
  /** Age in ms after which an idle upload session is dropped. @default 24 hours */
  readonly uploadExpiryMs?: number;
  /**
   * Require over protocol v1 that requests for images and tags carry the token that the index gives to each client. For
   * testing clients. @default false
   */
  readonly v1Tokens?: boolean;
  /** Idle time in ms after which a connection is closed. @default 2 minutes */
  readonly idleTimeoutMs?: number;
  /** Time in ms that `close` gives active requests to finish. @default 5 seconds */
  readonly closeGraceMs?: number;
  /** Called once per request, after its response. Must not throw. */
  readonly onRequest?: (log: RequestLog) => void;
  /** Closes the server when aborted. */
  readonly signal?: AbortSignal;
}

/** A running registry. */
export interface RunningServer {
  readonly host: string;
  readonly port: number;
  /** `host:port`, as used in references. */
  readonly address: string;
  /** `http://host:port` */
  readonly url: string;
  readonly statistics: ServerStatistics;
  /** Stops the server. Waits for active requests, at most `closeGraceMs`; interrupted uploads stay resumable. Idempotent. */
  close(): Promise<void>;
  /** Settles when the server has closed, for whatever reason. */
  readonly closed: Promise<void>;
}
