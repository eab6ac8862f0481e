import type { Descriptor, Digest, RawManifest } from '../spec/index.js';
import type { OpenBlob } from './open-blob.js';
import type { V1Storage } from './v1/types.js';

/** What a manifest is looked up by. */
export type ManifestKey = { readonly tag: string } | { readonly digest: Digest };

/**
 * What the registry serves from. Names, tags and digests that reach it are valid (checked by the routes), so they are
 * safe as paths. `find*`, `stat*` and `open*` resolve with undefined for what is not in that repository.
 */
export interface RegistryStorage {
  /** Names of all repositories that hold a manifest, sorted bytewise. */
  repositories(): Promise<readonly string[]>;
  /** Tags sorted bytewise; undefined when the repository holds no manifest. */
  tags(repository: string): Promise<readonly string[] | undefined>;
  /** The digest that a tag leads to, without reading its manifest. */
  tagDigest(repository: string, tag: string): Promise<Digest | undefined>;
  findManifest(repository: string, key: ManifestKey): Promise<RawManifest | undefined>;
  /** Whether the manifest is there, without reading it. */
  hasManifest(repository: string, digest: Digest): Promise<boolean>;
  /** Size in bytes. */
  statBlob(repository: string, digest: Digest): Promise<{ readonly size: number } | undefined>;
  openBlob(repository: string, digest: Digest): Promise<OpenBlob | undefined>;
  /**
   * Descriptors of the manifests whose `subject` is that digest, sorted by digest, with artifactType and annotations; read one
   * at a time. `after`: only those whose digest sorts behind it.
   */
  referrers(repository: string, subject: Digest, after?: string): AsyncIterable<Descriptor>;
  /** Images pushed over protocol v1; absent where there are none: v2 images are readable over v1 too. */
  readonly v1?: V1Storage;
  /** Calls `listener` for each tag that is set from now on. Absent where others than `writer` may set tags. */
  readonly onTag?: (listener: TagListener) => void;
  /** Changes whenever a tag of the repository is set; undefined when that cannot be told. */
  readonly tagsVersion?: (repository: string) => Promise<string | undefined>;
  /** Absent when nothing can be changed: every write is then answered with 405 UNSUPPORTED. */
  readonly writer?: RegistryWriter;
  /** Lets go of locks and timers; the data stays. */
  close(): Promise<void>;
}

/** Told what a tag leads to now. Must not throw. */
export type TagListener = (repository: string, manifest: RawManifest) => void;

/** A manifest to publish. */
export interface ManifestPublication {
  readonly manifest: RawManifest;
  readonly tag?: string;
  /** Set when the manifest has a subject: the entry for that subject's list of referrers. */
  readonly referrer?: { readonly subject: Digest; readonly descriptor: Descriptor };
}

/** The changing half of a storage. Every call is atomic: a crash leaves the state before or after it. */
export interface RegistryWriter {
  /** Durable when resolved. The tag, if any, moves last. */
  putManifest(repository: string, publication: ManifestPublication): Promise<void>;
  /** Removes the manifest and the tags that point to it; false when there is none. */
  deleteManifest(repository: string, digest: Digest): Promise<boolean>;
  /** False when there is no such tag. */
  deleteTag(repository: string, tag: string): Promise<boolean>;
  /** Takes the blob out of that repository; frees it with the last one. False when it is not there. */
  deleteBlob(repository: string, digest: Digest): Promise<boolean>;
  /** Makes the blob visible in `repository`; false when `from` (any repository if absent) does not have it. */
  mountBlob(repository: string, digest: Digest, from?: string): Promise<boolean>;
  /** Opens an upload session of 0 bytes. */
  startUpload(repository: string): Promise<BlobUpload>;
  /** A session of that repository, also one from before a restart; undefined when unknown or expired. */
  findUpload(repository: string, id: string): Promise<BlobUpload | undefined>;
}

/** An upload session. One request at a time works on it: a newer request ends the older one. */
export interface BlobUpload {
  readonly id: string;
  /** Bytes on disk. */
  readonly offset: number;
  /**
   * Takes the session over, ending the request that holds it (its source is told through `signal`). Resolves once that
   * request has let go; with undefined when the session has ended meanwhile. The caller calls `release` when done.
   */
  acquire(): Promise<UploadTurn | undefined>;
}

/** The right to change an upload session, until `release`. */
export interface UploadTurn {
  /** Aborted when a newer request takes over. */
  readonly signal: AbortSignal;
  readonly offset: number;
  /**
   * Appends all of `source`; when it breaks off, what came stays and `offset` counts it. `limit`: bytes that may come;
   * more throw SizeMismatchError and put the session back to where it was.
   */
  append(source: AsyncIterable<Buffer>, options?: { readonly limit?: number }): Promise<void>;
  /** Checks the digest and publishes the blob. Throws DigestMismatchError; either way the session is gone. */
  commit(digest: Digest): Promise<void>;
  /** Drops the session and its bytes. */
  cancel(): Promise<void>;
  /** Idempotent. */
  release(): void;
}

/** One answered request, for an access log. */
export interface RequestLog {
  readonly method: string;
  /** Path and query as sent. */
  readonly url: string;
  readonly status: number;
  /** Body bytes. */
  readonly bytesReceived: number;
  /** Body bytes. */
  readonly bytesSent: number;
  readonly durationMs: number;
  /** Address of the client. */
  readonly remote: string;
  /** False when the connection broke before the answer was out. */
  readonly complete: boolean;
  /** What went wrong inside, for answers of 500. */
  readonly error?: unknown;
}

/** Counters since the start. */
export interface ServerStatistics {
  readonly requests: number;
  /** Body bytes. */
  readonly bytesReceived: number;
  /** Body bytes. */
  readonly bytesSent: number;
}

/** What to serve, where, and how. */
export interface ServerOptions {
  /** Directory of the registry, made when missing; one writing server at a time. Either this or `storage`. */
  readonly dir?: string;
  /** Serves from here instead; closed with the server. */
  readonly storage?: RegistryStorage;
  /** @default 127.0.0.1, port 0 (any free one) */
  readonly listen?: { readonly host?: string; readonly port?: number };
  /** Refuses every change. @default false */
  readonly readOnly?: boolean;
  /** Age in ms after which an untouched upload session is dropped. @default 24 hours */
  readonly uploadExpiryMs?: number;
  /** Over protocol v1, images and tags want the token that the index gives to each client: for testing clients. @default false */
  readonly v1Tokens?: boolean;
  /** Silence in ms after which a connection is closed. @default 2 minutes */
  readonly idleTimeoutMs?: number;
  /** How long in ms `close` lets requests in flight finish. @default 5 seconds */
  readonly closeGraceMs?: number;
  /** Called once a request, after its answer. Must not throw. */
  readonly onRequest?: (log: RequestLog) => void;
  /** Closes the server when aborted. */
  readonly signal?: AbortSignal;
}

/** A registry that answers. */
export interface RunningServer {
  readonly host: string;
  readonly port: number;
  /** `host:port`, as it stands in a reference. */
  readonly address: string;
  /** `http://host:port` */
  readonly url: string;
  readonly statistics: ServerStatistics;
  /** Stops: waits for requests in flight, at most `closeGraceMs`; interrupted uploads stay resumable. Idempotent. */
  close(): Promise<void>;
  /** Settles when the server has closed, whoever asked for it. */
  readonly closed: Promise<void>;
}
