import type { Descriptor, Digest, RawManifest, ReopenableBlob } from '../spec/index.js';

/** What an archive is. `docker-dir` is what skopeo calls `dir:`; `docker-archive` has a `manifest.json`, `v1` only a `repositories` file and a folder an image. */
export type ArchiveFormat = 'oci-dir' | 'docker-dir' | 'oci-archive' | 'docker-archive' | 'v1';

/** One image of an archive. */
export interface ArchivedImage {
  /** Its manifest or index. Those of docker-archives and v1 archives are built from what is there. */
  readonly descriptor: Descriptor;
  /** Full references it is called by, sorted. */
  readonly names: readonly string[];
  /** What `org.opencontainers.image.ref.name` of an OCI layout says, as it is. */
  readonly refNames: readonly string[];
}

/** An archive that is being read. `close` gives its descriptors back. */
export interface ImageArchive {
  readonly format: ArchiveFormat;
  /** In the order of the archive. */
  readonly images: readonly ArchivedImage[];
  /** A manifest or index by digest, verified. Throws ArchiveFormatError, DigestMismatchError. */
  manifest(digest: Digest): Promise<RawManifest>;
  /** A blob; opening it throws ArchiveFormatError when it is not there, SizeMismatchError when it is another. */
  blob(descriptor: Descriptor): ReopenableBlob;
  close(): Promise<void>;
}

/** What an image is to be called in the archive written. */
export interface ArchiveName {
  /** Value of `org.opencontainers.image.ref.name`; the full name when not given. */
  readonly refName?: string | undefined;
  /** Full reference. */
  readonly name?: string | undefined;
}

/**
 * An archive that is being written: blobs and manifests in any order, each digest once (what is there already is skipped);
 * images last; then `finish`. Calls may overlap; a single file takes them one after the other, in the order of the calls.
 * After a failure only `discard` may be called.
 */
export interface ImageArchiveWriter {
  readonly format: ArchiveFormat;
  /** Whether the blob is there or on its way, so that it need not be put. */
  has(descriptor: Descriptor): Promise<boolean>;
  /** Whether the manifest is there or on its way, and with it all that it names. Default: as `has`, where it is put last. */
  hasManifest?(descriptor: Descriptor): Promise<boolean>;
  /** Takes a blob, verified. Throws SizeMismatchError, DigestMismatchError. */
  putBlob(
    blob: ReopenableBlob,
    options: { readonly signal: AbortSignal; readonly onProgress?: (transferred: number) => void },
  ): Promise<void>;
  /** Takes a manifest or index, bytes as they are. */
  putManifest(manifest: RawManifest): Promise<void>;
  /** Says that `manifest`, which was put, is an image of that name, taking the name from the image that had it. */
  addImage(manifest: RawManifest, name: ArchiveName): Promise<void>;
  /** Writes what tells the images; afterwards all is on disk or handed to the output. */
  finish(): Promise<void>;
  /** Gives up; a no-op after `finish`. Blobs in a directory stay: they are whole. */
  discard(): Promise<void>;
}
