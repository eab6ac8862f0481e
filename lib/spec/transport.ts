import type { Readable, Writable } from 'node:stream';
import type { Descriptor, RawManifest } from './descriptor.js';
import type { DiffId, Digest } from './digest.js';
import type { LayerCompression } from './convert-manifest.js';

/** Options of cancellable operations. */
export interface Abortable {
  readonly signal: AbortSignal;
}

/** Selects an image of a source: by digest (which takes precedence), or by tag. */
export interface ImageSelector {
  readonly tag?: string | undefined;
  readonly digest?: Digest | undefined;
}

/** A repository at a registry. */
export interface RepositoryName {
  readonly host: string;
  readonly repository: string;
}

/**
 * The referrers of a manifest. `tag`: they come from a tag, because the registry does not list them (distribution-spec,
 * "Referrers Tag Schema").
 */
export interface Referrers {
  readonly via: 'api' | 'tag';
  readonly descriptors: readonly Descriptor[];
}

/** The layers of an image whose files are on this machine, for repacking a blob of which no copy is left. */
export interface LayerFiles {
  /** Oldest first. */
  readonly diffIds: readonly DiffId[];
  /** Location of the blob according to the records: in the store, at a registry, or unknown. */
  where(layer: Descriptor): Promise<'here' | 'elsewhere' | 'lost'>;
  /** The blob as a file, fetched from a registry if necessary; undefined when no copy is left. */
  pathOf(layer: Descriptor, options: Abortable): Promise<string | undefined>;
  /** Writes the layer at `position` as a blob from its files. Throws NotFoundError when these are missing too. */
  pack(
    position: number,
    options: {
      readonly compression: LayerCompression;
      readonly level?: number | undefined;
      readonly output: Writable;
      readonly signal: AbortSignal;
      readonly onProgress: (transferred: number) => void;
    },
  ): Promise<{ readonly diffId: DiffId; readonly tarSize: number; readonly notes: readonly string[] }>;
}

/** Bytes with a known digest and size that can be opened at any offset, for retries and resumed transfers. */
export interface ReopenableBlob {
  readonly descriptor: Descriptor;
  /** A stream from the start fails at its end when the digest is wrong. Default: false. */
  readonly isVerified?: boolean;
  /**
   * Streams from byte `offset` on, never earlier. Does not verify the bytes unless `isVerified`. The caller ends or
   * destroys the stream.
   */
  open(options: { readonly signal: AbortSignal; readonly offset: number }): Promise<Readable>;
  /** The same bytes from a registry, for a download in several parts. Absent for other media. */
  readonly download?: BlobSource;
}

/** A blob at a registry that can be opened repeatedly, for retries and resumed transfers. */
export interface BlobSource {
  readonly descriptor: Descriptor;
  /** The number of parts that may be fetched concurrently; `auto`: several when one connection is slow. Default 1. */
  readonly connections?: number | 'auto';
  /** The number of sources, which is also how often it is worth starting over after wrong bytes. Default 1. */
  readonly places?: number;
  /**
   * Streams the blob from byte `offset` on, without verification (the ingest verifies). `restarted`: the server ignored
   * the Range and sends from 0. With `length`, the stream is that long only when `ranged` is true, otherwise it has all
   * the rest. The host's slot is held until the stream ends or is destroyed. Throws NotFoundError, AuthenticationError,
   * RegistryError, TransportError, AbortError. A broken connection ends the stream with a TransportError.
   */
  open(options: {
    readonly signal: AbortSignal;
    readonly offset?: number;
    readonly length?: number;
  }): Promise<{ readonly body: Readable; readonly restarted: boolean; readonly ranged?: boolean }>;
}

/**
 * Images to read: a repository at a registry, an OCI layout, an archive, the local store. Opening one reads next to
 * nothing. `close` releases its resources and may be called twice. Methods reject with NotFoundError
 * (ArchiveFormatError for an archive that lacks its own parts), errors of the medium, AbortError.
 */
export interface ImageSource {
  /** Name in the user's notation, for messages: `docker://host/repository` or `oci:/dir`. */
  readonly name: string;
  /** A manifest or index, bytes unchanged. An empty selector means the only image, or the only one without a tag. */
  manifest(selector: ImageSelector, options: Abortable): Promise<RawManifest>;
  /** A blob of a manifest in this source. Blobs with a higher `priority` start first where a medium limits concurrent reads. */
  blob(descriptor: Descriptor, options?: { readonly priority?: number }): ReopenableBlob;
  /** Size in bytes of a blob whose manifest does not state it (schema 1). Absent when there are no such manifests. */
  blobSize?(digest: Digest, options: Abortable): Promise<number>;
  /** The repository at a registry that this source reads; its blobs can be mounted. */
  readonly repository?: RepositoryName | undefined;
  /** Repositories of a host that are known to have had the blob or, without `blob`, any blob. Absent when none are known. */
  neighboursAt?(host: string, blob?: Pick<Descriptor, 'digest'>): readonly string[];
  /** The referrers of a manifest (signatures, SBOMs). Absent where the medium does not record them. */
  referrers?(digest: Digest, options: Abortable): Promise<Referrers>;
  /** The image's layers as files. Present only for an image of the local store. */
  readonly files?: LayerFiles;
  /** All tags, in the order of the medium. */
  tags(options: Abortable): AsyncIterable<string>;
  close(): Promise<void>;
}

/** The part of an `ImageSource` that reads blobs. */
export type BlobReader = Pick<ImageSource, 'blob' | 'blobSize'>;

/** A blob that a destination has received. */
export interface TakenBlob extends Pick<Descriptor, 'digest' | 'size'> {
  readonly state: 'fetched' | 'present';
}

export interface PutBlobOptions extends Abortable {
  /** Bytes stored so far. */
  readonly onProgress?: (transferred: number) => void;
  /** A message for users. */
  readonly onRetry?: (message: string) => void;
}

/**
 * A destination for images. Blobs come first, then manifests by digest, then the top manifest by its tags, then
 * `commit`. `hasBlob` and `hasManifest` show what exists already. Methods throw errors of the medium, AbortError.
 */
export interface ImageDestination {
  /** Name in the user's notation, for messages. */
  readonly name: string;
  /** The repository at a registry that this destination writes; repositories of one host can mount each other's blobs. */
  readonly repository?: RepositoryName | undefined;
  /** Accepts schema 1 manifests. Default: false. */
  readonly takesSchema1?: boolean;
  /** False: accepts only single images, so an index must be resolved to one of its manifests first. */
  readonly takesIndex: boolean;
  /** Number of blobs that may be put concurrently; 1 for sequential formats. */
  readonly parallelBlobs: number;
  /** Omits non-distributable layers (`isNonDistributable`). Default: they are put like all others. */
  readonly leavesForeign?: boolean;
  /** True: `putBlob` only records where a blob is; `commit` reads and sends it. Default: false. */
  readonly sendsAtCommit?: boolean;
  /**
   * Fetches all blobs of a single image from `source`, in the best order for this destination; `putManifest` and
   * `commit` follow. Resolves with the blobs that were fetched and those that existed. Only for copies to a single
   * destination. Absent: blobs are put.
   */
  takeImage?(
    source: BlobReader,
    manifest: RawManifest,
    options: { readonly signal: AbortSignal },
  ): Promise<readonly TakenBlob[]>;
  /** Prevents other processes from copying the same blob to the same place, until the returned function is called. */
  lockBlob?(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly onWait: () => void },
  ): Promise<() => void>;
  hasBlob(descriptor: Descriptor, options: Abortable): Promise<boolean>;
  /** Reports whether the manifest and everything it refers to exist. */
  hasManifest(descriptor: Descriptor, options: Abortable): Promise<boolean>;
  /** The referrers of a manifest. Absent where the medium does not record them. */
  referrers?(digest: Digest, options: Abortable): Promise<Referrers>;
  /** Mounts a blob from another repository of the same host. Resolves with false when that is not possible. Absent: it never is. */
  mountBlob?(descriptor: Descriptor, from: ImageSource, options: Abortable): Promise<boolean>;
  /** Reports whether `mountBlob` would succeed, as far as that can be determined without changes. Absent: it would not. */
  canMountBlob?(descriptor: Descriptor, from: ImageSource, options: Abortable): Promise<boolean>;
  /**
   * Stores a blob and verifies its digest. May open `blob` several times, at any offset. Also throws DigestMismatchError,
   * SizeMismatchError.
   */
  putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void>;
  /** Stores a manifest unchanged, under a tag or only by its digest. */
  putManifest(
    manifest: RawManifest,
    reference: { readonly tag?: string | undefined },
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /**
   * Called when everything has been put: archives write their end, records become visible. `untagged`: the top manifest
   * if it got no tag, for formats that list their images. With `sendsAtCommit`, resolves with the blobs that already
   * existed.
   */
  commit(options: {
    readonly signal: AbortSignal;
    readonly untagged?: RawManifest | undefined;
  }): Promise<ReadonlySet<Digest> | void>;
  /** Releases resources. Without a previous `commit`, nothing incomplete remains under a name. */
  close(): Promise<void>;
}
