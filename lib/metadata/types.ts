import type { ChainId, Descriptor, DiffId, Digest, ImageForm } from '../spec/index.js';

/**
 * An image in the local store as one manifest describes it. Its ID is the digest of its config. An image that is here with
 * several manifests (its layers compressed in other ways) or indexes has a record for each, with the names that lead there.
 */
export interface ImageRecord {
  readonly version: 1;
  /** Config digest. */
  readonly id: Digest;
  /** Full references (`host/repository:tag`) that point to this manifest, sorted; empty for an untagged image. */
  readonly names: readonly string[];
  /** `host/repository@digest` it was pulled as or pushed to: where its blobs are known to be. */
  readonly sources: readonly string[];
  /** The manifest (of one platform) as stored in content, and the config. */
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  /** The index the manifest was chosen from, when there was one: stored in content too. */
  readonly index?: Descriptor;
  /** Oldest first; parallel to `diffIds` and `chainIds`. */
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly DiffId[];
  readonly chainIds: readonly ChainId[];
  /** ISO 8601, from the config; undefined when it says none. */
  readonly created?: string;
  readonly platform: string;
  /** ISO 8601, when this record was first written. */
  readonly pulled: string;
}

/** A layer on disk. */
export interface LayerRecord {
  readonly version: 1;
  readonly chainId: ChainId;
  readonly parent?: ChainId;
  readonly diffId: DiffId;
  /** Digest of the blob it was unpacked from or packed into. */
  readonly blob?: Descriptor;
  /** Bytes of the uncompressed tar, number of its entries. */
  readonly size: number;
  readonly entries: number;
  /** False until a sync has passed; with `bootId`, tells whether a crash may have cut its data (storage.md). */
  readonly sealed: boolean;
  readonly bootId: string;
  /**
   * What the subvolume this layer is a snapshot of (a container's) is a snapshot of itself: btrfs forgets it when the container
   * is removed. Absent where the layer was unpacked, and in records of older versions.
   */
  readonly origin?: SubvolumeOrigin;
}

/** That a subvolume, which may be gone, was made as a snapshot of another one, in a transaction of the file system. */
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
  /** Full reference it was created by, for people. */
  readonly imageName: string;
  /** Top layer of the image it was made from; absent for an empty image. */
  readonly base?: ChainId;
  readonly created: string;
}

/** An upload that a registry has begun to take, for a later process to go on with. */
export interface UploadRecord {
  readonly version: 1;
  /** Hex SHA-256 of `host/repository@digest`. */
  readonly key: string;
  readonly host: string;
  readonly repository: string;
  readonly digest: Digest;
  /** Where it goes on; may be signed, so it is a secret. */
  readonly location: string;
  /** Bytes the registry had when it last said so. */
  readonly offset: number;
  /** ISO 8601. */
  readonly begun: string;
}

/** One part of a step's key: `parent`, `command`, `env A`, … */
export interface KeyPart {
  readonly name: string;
  /** Plain where it is short and no secret, else its SHA-256. */
  readonly value: string;
}

/**
 * A step of a build whose files are kept as a read-only subvolume, to be used again by a build that comes to the same key. The
 * subvolume is called as a layer with the chainID `sha256:<id>` would be.
 */
export interface StepRecord {
  readonly version: 1;
  /** Hex SHA-256 of all that decides the result. */
  readonly key: string;
  /** 64 random hex digits: another run of the same step has another ID. */
  readonly id: string;
  /** ID of the step whose files it was run on; absent on a base image or on nothing. */
  readonly parent?: string;
  /** Where it was run, without instruction: lets a miss be compared with what was there before. */
  readonly place: string;
  /** What `key` was made of. */
  readonly parts: readonly KeyPart[];
  /** ISO 8601: when it was run, and when a build last used it. */
  readonly created: string;
  readonly used: string;
  /** Bytes of its changes: of the uncompressed tar where it was packed, else as far as they are on disk. */
  readonly size: number;
  /** The boot in which it was written: files of another boot may be cut unless `sealed`. */
  readonly bootId: string;
  readonly sealed: boolean;
  /** Its changes as a layer, once an image needed them. */
  readonly layer?: StepLayer;
  /** As in `LayerRecord`. */
  readonly origin?: SubvolumeOrigin;
}

/** A cache mount of builds: a writable subvolume that lasts. */
export interface CacheRecord {
  readonly version: 1;
  /** Hex SHA-256 of `id`: its name in the store. */
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
  /** SOURCE_DATE_EPOCH that it was packed with. */
  readonly sourceDateEpoch?: number;
}

/** A held lock; `release` is idempotent. The kernel frees it when the process dies. */
export interface HeldLock {
  release(): void;
}

/** Records, one JSON file each, and the locks of the store. Readers never wait. Written temp + fsync + rename + fsync(dir). */
export interface MetadataStore {
  readonly images: ImageRecords;
  readonly layers: RecordSet<LayerRecord>;
  readonly containers: RecordSet<ContainerRecord>;
  readonly uploads: RecordSet<UploadRecord>;
  /** By key. */
  readonly steps: RecordSet<StepRecord>;
  /** By key. */
  readonly caches: RecordSet<CacheRecord>;
  /** Whether a power cut may have cut a layer's files: it was written in another boot and not sealed. */
  mayBeCut(layer: LayerRecord): boolean;
  /** Waits until free (`onWait` called once when it is not), AbortError when aborted. `name`: `store`, `image-names`, `layer-<hex>`, `container-<id>`, … */
  lock(
    name: string,
    options: { readonly mode: 'shared' | 'exclusive'; readonly signal: AbortSignal; readonly onWait?: () => void },
  ): Promise<HeldLock>;
  /** Without waiting: undefined when another holds it. */
  tryLock(name: string, mode: 'shared' | 'exclusive'): Promise<HeldLock | undefined>;
  /** Sets room aside, once, for the records of commands that free space. Never fails. */
  keepRoom(): Promise<void>;
  /** Called first by commands that free space: gives that room up when nothing else can be written. */
  makeRoom(): void;
}

/** The records of images: one for each manifest (and index) of an image. */
export interface ImageRecords extends Pick<RecordSet<ImageRecord>, 'list' | 'sweep'> {
  /** All records of an image. */
  ofImage(id: Digest): Promise<ImageRecord[]>;
  /** The record of the same image with the same manifest and index. */
  find(record: ImageForm): Promise<ImageRecord | undefined>;
  /** Writes a record, in place of the one with the same manifest and index. Throws TypeError for one that is not valid. */
  put(record: ImageRecord): Promise<void>;
  /** Deletes the record with the same manifest and index. */
  delete(record: ImageForm): Promise<void>;
}

/** One kind of record. `key`: hex (digest hex, chain ID hex, container ID), validated. */
export interface RecordSet<T> {
  get(key: string): Promise<T | undefined>;
  /** Throws TypeError for a record that is not valid. */
  put(key: string, record: T): Promise<void>;
  delete(key: string): Promise<void>;
  list(): Promise<T[]>;
  /** Removes what writers that died have left. */
  sweep(): Promise<void>;
}
