import type { Descriptor, Digest, DiffId } from '../../spec/index.js';
import type { OpenBlob } from '../open-blob.js';

/** A layer as it was pushed over protocol v1. */
export interface V1Layer {
  readonly digest: Digest;
  /** Bytes, as pushed. */
  readonly size: number;
  readonly compression: 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'none';
  /** Of its tar. */
  readonly diffId: DiffId;
  /** Over JSON and layer (spec, `beginPayloadChecksum`). */
  readonly payloadChecksum: Digest;
}

/** An image that was, or is being, pushed over protocol v1. IDs that reach a store are hex: safe as file names. */
export interface StoredV1Image {
  /** Bytes as pushed. */
  readonly json: Buffer;
  readonly layer?: V1Layer;
  /** False until its checksum was confirmed. */
  readonly complete: boolean;
}

/** Images of protocol v1 beside the repositories: they belong to none; a tag makes them v2 images too. */
export interface V1Storage {
  find(id: string): Promise<StoredV1Image | undefined>;
  openLayer(id: string): Promise<OpenBlob | undefined>;
  /** The v1 image that a manifest of `repository` was made of. */
  imageOf(repository: string, manifest: Digest): Promise<string | undefined>;
  /** Absent when nothing can be changed. */
  readonly writer?: V1Writer;
}

/** The changing half. A crash leaves the state before or after each call. */
export interface V1Writer {
  /** Begins an image, or begins it anew; false when it is there already, complete. */
  begin(id: string, json: Buffer): Promise<boolean>;
  /** Takes the layer of an image that has begun; false when it has not, or is complete. Throws LayerFormatError. */
  putLayer(id: string, source: AsyncIterable<Buffer>): Promise<boolean>;
  /**
   * Marks an image complete, durable when resolved; false when it is that already, or has another layer or JSON by now
   * than `payloadChecksum` is of.
   */
  complete(id: string, payloadChecksum: Digest): Promise<boolean>;
  /** Remembers what a manifest was made of. */
  setImageOf(repository: string, manifest: Digest, id: string): Promise<void>;
}

/** The layer of a v1 image, wherever it is kept. */
export interface ServedLayer {
  /** As it stands in a manifest. */
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  open(): Promise<OpenBlob | undefined>;
}

/** A v1 image that can be read: one that was pushed over v1, or a layer of a v2 image. */
export interface ServedV1Image {
  readonly id: string;
  readonly parent: string | undefined;
  readonly json: Buffer;
  /** Absent: an empty tar. */
  readonly layer?: ServedLayer;
  readonly payloadChecksum?: Digest;
  /** The manifest that this is the top of, when it is a v2 image. */
  readonly v2?: { readonly repository: string; readonly manifest: Digest };
}
