import type { Descriptor, Digest, RawManifest, ReopenableBlob, PutBlobOptions } from '../spec/index.js';

/**
 * The format of an archive. `docker-dir` is skopeo's `dir:`. `docker-archive` has a `manifest.json`; `v1` has only a
 * `repositories` file and a directory per image.
 */
export type ArchiveFormat = 'oci-dir' | 'docker-dir' | 'oci-archive' | 'docker-archive' | 'v1';

export interface ArchivedImage {
  /** Its manifest or index. For docker-archives and v1 archives it is created from their content. */
  readonly descriptor: Descriptor;
  /** Its full references, sorted. */
  readonly names: readonly string[];
  /** The unchanged values of `org.opencontainers.image.ref.name` in an OCI layout. */
  readonly refNames: readonly string[];
}

/** An archive open for reading. `close` releases its descriptors. */
export interface ImageArchive {
  readonly format: ArchiveFormat;
  /** In the order of the archive. */
  readonly images: readonly ArchivedImage[];
  /** A manifest or index by digest, verified. Throws ArchiveFormatError, DigestMismatchError. */
  manifest(digest: Digest): Promise<RawManifest>;
  /** A blob. Opening it throws ArchiveFormatError when it is missing, SizeMismatchError when its size is wrong. */
  blob(descriptor: Descriptor): ReopenableBlob;
  close(): Promise<void>;
}

/** The name of an image in a new archive. */
export interface ArchiveName {
  /** Value of `org.opencontainers.image.ref.name`; default: the full name. */
  readonly refName?: string | undefined;
  /** Full reference. */
  readonly name?: string | undefined;
}

/**
 * An archive being written: blobs and manifests in any order, each digest once (existing ones are skipped), then
 * images, then `finish`. Calls may overlap; a single file processes them one after another, in the order of the calls.
 * After an error only `discard` may be called.
 */
export interface ImageArchiveWriter {
  readonly format: ArchiveFormat;
  /** Reports whether the blob exists or is being written, so it need not be put. */
  has(descriptor: Descriptor): Promise<boolean>;
  /**
   * Reports whether the manifest and everything it refers to exist or are being written. Default: `has`, when manifests
   * are put last.
   */
  hasManifest?(descriptor: Descriptor): Promise<boolean>;
  /** Stores a blob and verifies it. Throws SizeMismatchError, DigestMismatchError. */
  putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void>;
  /** Stores a manifest or index unchanged. */
  putManifest(manifest: RawManifest): Promise<void>;
  /** Names an image by its manifest, which must have been put. Takes the name from any other image. */
  addImage(manifest: RawManifest, name: ArchiveName): Promise<void>;
  /** Writes the list of images. Afterwards everything is on disk or has been passed to the output. */
  finish(): Promise<void>;
  /** Aborts; does nothing after `finish`. Complete blobs in a directory stay. */
  discard(): Promise<void>;
}
