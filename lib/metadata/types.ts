import type { ChainId, Descriptor, DiffId, Digest, ImageForm } from '../spec/index.js';

/**
 * An image in the local store, as described by one manifest. Its ID is the digest of its config. An image with several
 * manifests (different compression of its layers) or indexes has a record for each, with the names that point to it.
 */
export interface ImageRecord {
  readonly version: 1;
  /** Digest of the config. */
  readonly id: Digest;
  /** Full references (`host/repository:tag`) that point to this manifest, sorted; empty for an untagged image. */
  readonly names: readonly string[];
  /** `host/repository@digest` from which it was pulled or to which it was pushed: known locations of its blobs. */
  readonly sources: readonly string[];
  /** The manifest (of one platform), which is stored in content. */
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  /** The index from which the manifest was chosen, if any; also stored in content. */
  readonly index?: Descriptor;
  /** Oldest first; parallel to `diffIds` and `chainIds`. */
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly DiffId[];
  readonly chainIds: readonly ChainId[];
  /** ISO 8601, from the config; undefined when not stated. */
  readonly created?: string;
  readonly platform: string;
  /** ISO 8601, time at which this record was first written. */
  readonly pulled: string;
}

/** A layer on disk. */
export interface LayerRecord {
  readonly version: 1;
  readonly chainId: ChainId;
  readonly parent?: ChainId;
  readonly diffId: DiffId;
  /** The blob from which it was unpacked, or into which it was packed. */
  readonly blob?: Descriptor;
  /** Size of the uncompressed tar in bytes, and the number of its entries. */
  readonly size: number;
  readonly entries: number;
  /** False until a sync has completed. With `bootId`, shows whether a crash may have truncated its data (docs/storage-layout.md). */
  readonly sealed: boolean;
  readonly bootId: string;
  /**
   * The origin of the (container's) subvolume of which this layer is a snapshot; btrfs forgets it when the container is
   * removed. Absent for unpacked layers and in records of older versions.
   */
  readonly origin?: SubvolumeOrigin;
}

/** A record that a subvolume, which may have been removed, was created as a snapshot of another one in a transaction. */
export interface SubvolumeOrigin {
  readonly uuid: string;
  readonly parentUuid: string;
  readonly transaction: number;
}

/** A container: a writable snapshot of an image's top layer. */
export interface ContainerRecord {
  readonly version: 1;
  /** 64 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly image: Digest;
  /** Full reference from which it was created; for display. */
  readonly imageName: string;
  /** Top layer of its image; absent for an empty image. */
  readonly base?: ChainId;
  readonly created: string;
}

/** An unfinished upload to a registry, which a later process may resume. */
export interface UploadRecord {
  readonly version: 1;
  /** Hex SHA-256 of `host/repository@digest`. */
  readonly key: string;
  readonly host: string;
  readonly repository: string;
  readonly digest: Digest;
  /** URL to continue at; may be signed, so it is a secret. */
  readonly location: string;
  /** The number of bytes received, as last reported by the registry. */
  readonly offset: number;
  /** ISO 8601. */
  readonly begun: string;
}

/** One part of a step's key: `parent`, `command`, `env A`, … */
export interface KeyPart {
  readonly name: string;
  /** The value itself if it is short and not secret, else its SHA-256. */
  readonly value: string;
}

/**
 * A build step whose files are kept as a read-only subvolume and reused by builds with the same key. The subvolume is
 * named like a layer with the chainID `sha256:<id>`.
 */
export interface StepRecord {
  readonly version: 1;
  /** Hex SHA-256 of everything that determines the result. */
  readonly key: string;
  /** 64 random hex digits: another run of the same step has another ID. */
  readonly id: string;
  /** ID of the step on whose files it ran; absent for a step on a base image or on nothing. */
  readonly parent?: string;
  /** Identifies its position without its instruction, so that a miss can be compared with the earlier step. */
  readonly place: string;
  /** The parts of `key`. */
  readonly parts: readonly KeyPart[];
  /** ISO 8601: time of the run; `used`: time of the last build that used it. */
  readonly created: string;
  readonly used: string;
  /** Size of its changes in bytes: of the uncompressed tar if it was packed, else as far as they are on disk. */
  readonly size: number;
  /** The boot in which it was written. After another boot its files may be truncated unless `sealed`. */
  readonly bootId: string;
  readonly sealed: boolean;
  /** Its changes as a layer, once an image has needed them. */
  readonly layer?: StepLayer;
  /** As in `LayerRecord`. */
  readonly origin?: SubvolumeOrigin;
}

/** A build cache mount: a persistent writable subvolume. */
export interface CacheRecord {
  readonly version: 1;
  /** Hex SHA-256 of `id`; its name in the store. */
  readonly key: string;
  /** As in the Dockerfile: `/root/.npm`. */
  readonly id: string;
  /** ISO 8601. */
  readonly created: string;
  readonly used: string;
}

/** A layer packed from a step. */
export interface StepLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  /** The SOURCE_DATE_EPOCH used for packing. */
  readonly sourceDateEpoch?: number;
}

/** A held lock. `release` is idempotent. The kernel releases it when the process dies. */
export interface HeldLock {
  release(): void;
}

/**
 * The store's records, one JSON file each, and its locks. Readers never wait. Files are written by temp + fsync +
 * rename + fsync(dir).
 */
export interface MetadataStore {
  readonly images: ImageRecords;
  readonly layers: RecordSet<LayerRecord>;
  readonly containers: RecordSet<ContainerRecord>;
  readonly uploads: RecordSet<UploadRecord>;
  /** By key. */
  readonly steps: RecordSet<StepRecord>;
  /** By key. */
  readonly caches: RecordSet<CacheRecord>;
  /** The boot in which this process runs, for the records of layers that are not yet sealed. */
  readonly bootId: string;
  /** Reports whether a power failure may have truncated a layer's files: it was written in another boot and not sealed. */
  mayBeCut(layer: LayerRecord): boolean;
  /**
   * Takes a lock; waits until it is free (`onWait` is called once). Throws AbortError. `name`: `store`, `image-names`,
   * `layer-<hex>`, `container-<id>`, …
   */
  lock(
    name: string,
    options: { readonly mode: 'shared' | 'exclusive'; readonly signal: AbortSignal; readonly onWait?: () => void },
  ): Promise<HeldLock>;
  /** Takes a lock without waiting. Undefined when it is held. */
  tryLock(name: string, mode: 'shared' | 'exclusive'): Promise<HeldLock | undefined>;
  /** Reserves space once for the records of commands that free space. Never fails. */
  keepRoom(): Promise<void>;
  /** Called first by commands that free space: releases the reserve when nothing can be written otherwise. */
  makeRoom(): void;
}

/** The image records: one per manifest (and index) of an image. */
export interface ImageRecords extends Pick<RecordSet<ImageRecord>, 'list' | 'sweep'> {
  /** All records of an image. */
  ofImage(id: Digest): Promise<ImageRecord[]>;
  /** The record of the same image with the same manifest and index. */
  find(record: ImageForm): Promise<ImageRecord | undefined>;
  /** Writes a record, replacing the one with the same manifest and index. Throws TypeError for an invalid record. */
  put(record: ImageRecord): Promise<void>;
  /** Deletes the record with the same manifest and index. */
  delete(record: ImageForm): Promise<void>;
}

/** One kind of record. Keys are hex (of a digest, chain ID or container ID) and validated. */
export interface RecordSet<T> {
  get(key: string): Promise<T | undefined>;
  /** Writes a record. Throws TypeError for an invalid one. */
  put(key: string, record: T): Promise<void>;
  delete(key: string): Promise<void>;
  list(): Promise<T[]>;
  /** Removes the remains of dead writers. */
  sweep(): Promise<void>;
}
