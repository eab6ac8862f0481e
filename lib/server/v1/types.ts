import type { Descriptor, Digest, DiffId } from '../../spec/index.js';
import type { OpenBlob } from '../open-blob.js';

/** A layer as pushed over protocol v1. */
export interface V1Layer {
  readonly digest: Digest;
  /** Size as pushed, in bytes. */
  readonly size: number;
  readonly compression: 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'none';
  /** The diffID of its tar. */
  readonly diffId: DiffId;
  /** Checksum over JSON and layer (spec, `beginPayloadChecksum`). */
  readonly payloadChecksum: Digest;
}

/** An image pushed, or being pushed, over protocol v1. IDs are hexadecimal and safe as file names. */
export interface StoredV1Image {
  /** The JSON as pushed. */
  readonly json: Buffer;
  readonly layer?: V1Layer;
  /** False until its checksum has been confirmed. */
  readonly complete: boolean;
}

/** Images of protocol v1, independent of repositories. A tag turns them into v2 images. */
export interface V1Storage {
  find(id: string): Promise<StoredV1Image | undefined>;
  openLayer(id: string): Promise<OpenBlob | undefined>;
  /** The v1 image from which a manifest of `repository` was created. */
  imageOf(repository: string, manifest: Digest): Promise<string | undefined>;
  /** Absent for a read-only storage. */
  readonly writer?: V1Writer;
}

/** The writing half. A crash leaves the state before or after each call. */
export interface V1Writer {
  /** Starts or restarts an image. Resolves with false when a complete one exists. */
  begin(id: string, json: Buffer): Promise<boolean>;
  /** Stores the layer of an image that was started. Resolves with false when it was not, or is complete. Throws LayerFormatError. */
  putLayer(id: string, source: AsyncIterable<Buffer>): Promise<boolean>;
  /**
   * Marks an image as complete, durably. Resolves with false when it already is, or when its layer or JSON no longer
   * matches `payloadChecksum`.
   */
  complete(id: string, payloadChecksum: Digest): Promise<boolean>;
  /** Records the v1 image from which a manifest was created. */
  setImageOf(repository: string, manifest: Digest, id: string): Promise<void>;
}

/** The layer of a v1 image, wherever it is stored. */
export interface ServedLayer {
  /** Its descriptor, as in a manifest. */
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  open(): Promise<OpenBlob | undefined>;
}

/** A readable v1 image: one pushed over v1, or a layer of a v2 image. */
export interface ServedV1Image {
  readonly id: string;
  readonly parent: string | undefined;
  readonly json: Buffer;
  /** Absent: an empty tar. */
  readonly layer?: ServedLayer;
  readonly payloadChecksum?: Digest;
  /** If this is the top of a v2 image: the manifest of that. */
  readonly v2?: { readonly repository: string; readonly manifest: Digest };
}
