import type { Readable, Writable } from 'node:stream';
import type { Descriptor, RawManifest } from './descriptor.js';
import type { DiffId, Digest } from './digest.js';
import type { LayerCompression } from './convert-manifest.js';

/** What an image is asked for by in a source: its digest (which decides when both are given), or a tag. */
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
 * What refers to a manifest; `tag`: the registry does not list it itself, a tag does (distribution-spec, "Referrers Tag
 * Schema").
 */
export interface Referrers {
  readonly via: 'api' | 'tag';
  readonly descriptors: readonly Descriptor[];
}

/** The layers of an image whose files are on this machine, so that a blob of which no copy is left can be packed again. */
export interface LayerFiles {
  /** Oldest first. */
  readonly diffIds: readonly DiffId[];
  /** Where the blob is as far as the records tell: in the store, at a registry, or nowhere. */
  where(layer: Descriptor): Promise<'here' | 'elsewhere' | 'lost'>;
  /** The blob as a file, fetched from a registry where it is not here; undefined when no copy is left. */
  pathOf(layer: Descriptor, options: { readonly signal: AbortSignal }): Promise<string | undefined>;
  /** Writes the layer at `position` as a blob, from its files. Throws NotFoundError when these are not here either. */
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

/** Bytes with a known digest and size, to be opened at any offset: that is what makes retry and resume possible. */
export interface ReopenableBlob {
  readonly descriptor: Descriptor;
  /** A stream from the start fails at its end when the bytes have another digest. Default: false. */
  readonly isVerified?: boolean;
  /**
   * Streams from `offset` bytes on, never earlier ones. The bytes are not verified unless `isVerified` says so. The caller
   * ends or destroys the stream.
   */
  open(options: { readonly signal: AbortSignal; readonly offset: number }): Promise<Readable>;
  /** The same bytes as a registry sends them, for a download in several parts. Absent for other media. */
  readonly download?: BlobSource;
}

/** Bytes a registry can give. Reopenable: that is what makes retry and resume possible. */
export interface BlobSource {
  readonly descriptor: Descriptor;
  /** How many parts of it may be fetched at once; `auto`: several where one connection is slow. Default 1. */
  readonly connections?: number | 'auto';
  /** How many places there are to get it from: so often it is worth to begin anew when the bytes are wrong. Default 1. */
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

/**
 * Images to read: a repository at a registry, an OCI layout, an archive, the local store. Opening one has read next to
 * nothing; `close` gives back what it holds, and may be called twice. Methods reject with NotFoundError (an archive that lacks
 * what it names itself: ArchiveFormatError), what the medium throws, AbortError.
 */
export interface ImageSource {
  /** As the user would write it, `docker://host/repository` or `oci:/dir`: for messages. */
  readonly name: string;
  /** A manifest or index, bytes as they are. An empty selector means the only image, or that without a tag. */
  manifest(selector: ImageSelector, options: { readonly signal: AbortSignal }): Promise<RawManifest>;
  /** A blob that a manifest of this source names. `priority`: higher starts first where a medium limits the reads at a time. */
  blob(descriptor: Descriptor, options?: { readonly priority?: number }): ReopenableBlob;
  /** Bytes of a blob that a manifest names without its size (schema 1). Absent where no such manifests are. */
  blobSize?(digest: Digest, options: { readonly signal: AbortSignal }): Promise<number>;
  /** The repository at a registry that this source is: its blobs can be mounted from there. */
  readonly repository?: RepositoryName | undefined;
  /** Repositories of a host that are known to have had the blob, or, without one, some blob. Absent where none are known. */
  neighboursAt?(host: string, blob?: Pick<Descriptor, 'digest'>): readonly string[];
  /** What refers to a manifest (signatures, SBOMs). Absent where the medium does not record it. */
  referrers?(digest: Digest, options: { readonly signal: AbortSignal }): Promise<Referrers>;
  /** The image's layers as files. Absent unless the source is an image of the local store. */
  readonly files?: LayerFiles;
  /** Tags, in the order of the medium. */
  tags(options: { readonly signal: AbortSignal }): AsyncIterable<string>;
  close(): Promise<void>;
}

/** The part of an `ImageSource` that gives the bytes of blobs. */
export type BlobReader = Pick<ImageSource, 'blob' | 'blobSize'>;

/** A blob of an image that a destination took. */
export interface TakenBlob extends Pick<Descriptor, 'digest' | 'size'> {
  readonly state: 'fetched' | 'present';
}

/**
 * Where images go. Blobs first, then manifests by digest, then the top manifest by its tags, then `commit`; what is
 * there already is asked for with `hasBlob` and `hasManifest`. Methods throw what the medium throws, AbortError.
 */
export interface ImageDestination {
  /** As the user would write it: for messages. */
  readonly name: string;
  /** The repository at a registry that this destination is; those of one host mount blobs from each other. */
  readonly repository?: RepositoryName | undefined;
  /** Holds manifests of schema 1. Default: false. */
  readonly takesSchema1?: boolean;
  /** False: holds single images only, so an index must be resolved to one of its manifests first. */
  readonly takesIndex: boolean;
  /** Blobs that may be put at the same time; 1 for what is written from front to back. */
  readonly parallelBlobs: number;
  /** Leaves non-distributable layers (`isNonDistributable`) out. Default: they are put like all others. */
  readonly leavesForeign?: boolean;
  /** True: `putBlob` only remembers where a blob is; `commit` reads and sends it. Default: false. */
  readonly sendsAtCommit?: boolean;
  /**
   * Takes all blobs of a single image from `source`, in the order that suits this destination; `putManifest` and `commit`
   * follow. Resolves with what it fetched and what it had. For copies to this destination alone. Absent: blobs are put.
   */
  takeImage?(
    source: BlobReader,
    manifest: RawManifest,
    options: { readonly signal: AbortSignal },
  ): Promise<readonly TakenBlob[]>;
  /** Keeps other processes from bringing the same blob to the same place, until the function it resolves with is called. */
  lockBlob?(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly onWait: () => void },
  ): Promise<() => void>;
  hasBlob(descriptor: Descriptor, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /** Whether the manifest is there, and with it all that it names. */
  hasManifest(descriptor: Descriptor, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /** What refers to a manifest. Absent where the medium does not record it. */
  referrers?(digest: Digest, options: { readonly signal: AbortSignal }): Promise<Referrers>;
  /** Takes a blob over from another repository of the same host without moving its bytes; false when it cannot be. */
  mountBlob(descriptor: Descriptor, from: ImageSource, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /** Whether `mountBlob` would succeed, as far as can be asked; changes nothing. Absent: it would not. */
  canMountBlob?(descriptor: Descriptor, from: ImageSource, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /**
   * Stores a blob and checks its digest. Opens `blob` again, at an offset, as often as it needs. `onProgress`: bytes
   * stored so far; `onRetry`: one line for people. Throws DigestMismatchError, SizeMismatchError besides.
   */
  putBlob(
    blob: ReopenableBlob,
    options: {
      readonly signal: AbortSignal;
      readonly onProgress?: (transferred: number) => void;
      readonly onRetry?: (message: string) => void;
    },
  ): Promise<void>;
  /** Stores a manifest, bytes as they are: under a tag, or by its digest alone. */
  putManifest(
    manifest: RawManifest,
    reference: { readonly tag?: string | undefined },
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /**
   * All is put: archives write their end, records become visible. `untagged`: the top manifest when it got no tag, for
   * what lists its images. Resolves, if `sendsAtCommit`, with the blobs that turned out to be there already.
   */
  commit(options: {
    readonly signal: AbortSignal;
    readonly untagged?: RawManifest | undefined;
  }): Promise<ReadonlySet<Digest> | void>;
  /** Gives back what it holds; without `commit` before, nothing half-written stays under a name. */
  close(): Promise<void>;
}
