import type { Readable } from 'node:stream';
import type { Digest, V1Image } from '../../spec/index.js';

/** An image as a v1 registry describes it. */
export interface V1RemoteImage extends V1Image {
  /** What the registry says of JSON and layer together; the layer must fit one of them. Empty: it says nothing. */
  readonly payloadChecksums: readonly Digest[];
  /** TarSum of the layer, if the registry has one. */
  readonly tarSum: string | undefined;
  /** Bytes of the layer as stored, if the registry says so. */
  readonly layerSize: number | undefined;
}

/** Where the bytes of a layer are kept as sent, so that a later try goes on behind them. */
export interface LayerPart {
  /** Bytes that are here. */
  readonly offset: number;
  /** Those bytes, from the first on. */
  read(): AsyncIterable<Buffer>;
  write(chunk: Buffer): Promise<void>;
  restart(): Promise<void>;
}

/** Options of `V1Repository.readLayer`. */
export interface ReadLayerOptions<T> {
  /** The image, or that it is on its way: JSON and layer are asked for at the same time. */
  readonly image: Promise<V1RemoteImage>;
  readonly signal: AbortSignal;
  /** Higher starts first within the host's limit. */
  readonly priority?: number;
  /**
   * Takes the layer: gzip, zstd or a plain tar. It ends only after the bytes were found to be right. Called again, with the
   * layer from its start, when they were not, or when the endpoint failed and there is another one. `converted`: it is handed on
   * in another form than the registry has it in.
   */
  readonly consume: (body: Readable, converted: boolean) => Promise<T>;
  /**
   * Takes the bytes as sent too. Those it has already are not asked for, if the registry says what the layer must be and so
   * can tell that they belong to it; else they are thrown away.
   */
  readonly part?: LayerPart;
  /** Told how many bytes are here, as sent. */
  readonly onProgress?: (transferred: number) => void;
  /** Told once for each break, with a line for people. */
  readonly onRetry?: (message: string) => void;
}

/** A layer that was read. */
export interface ReadLayer<T> {
  readonly result: T;
  /** `sha256:…` over JSON and layer as sent: what a registry calls `X-Docker-Checksum-Payload`. */
  readonly payloadChecksum: Digest;
  /** It was empty or compressed in a way that OCI and Docker images do not allow (xz, bzip2); passed on as gzip. */
  readonly converted: boolean;
}

/** One v1 image to upload. */
export interface V1Upload {
  readonly image: V1Image;
  /** Bytes of the layer. */
  readonly size: number;
  /** Streams the layer from its start; called again for each endpoint and try. */
  readonly open: (options: { readonly signal: AbortSignal }) => Promise<Readable>;
}

/** Options of `V1Repository.push`. */
export interface V1PushOptions {
  readonly signal: AbortSignal;
  /** Tags to set, and the ID each is to have. */
  readonly tags: Readonly<Record<string, string>>;
  readonly onImage?: (id: string, state: 'skipped' | 'active' | 'done', transferred?: number) => void;
  readonly onRetry?: (message: string) => void;
}

/**
 * One repository at a registry of protocol v1. All methods throw NotFoundError, AuthenticationError, RegistryError,
 * TransportError, InvalidManifestError (what came makes no sense), AbortError.
 */
export interface V1Repository {
  readonly host: string;
  readonly repository: string;
  /** The ID that a tag has. */
  resolve(tag: string, options: { readonly signal: AbortSignal }): Promise<string>;
  /** All tags with their IDs, in the order of the server. */
  tags(options: { readonly signal: AbortSignal }): Promise<ReadonlyMap<string, string>>;
  /** The image and all it stands on, root first; checked for loops and for what is no ID. */
  ancestry(id: string, options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
  /** An image's JSON, its ID checked. */
  image(id: string, options: { readonly signal: AbortSignal }): Promise<V1RemoteImage>;
  /**
   * Reads an image's layer, going on where a connection broke. Throws DigestMismatchError when it is another than the registry
   * says itself, CommandError when the program that decompresses it is missing, and what `consume` throws.
   */
  readLayer<T>(id: string, options: ReadLayerOptions<T>): Promise<ReadLayer<T>>;
  /** Which of these images an endpoint lacks, or does not tell of. */
  missing(ids: readonly string[], options: { readonly signal: AbortSignal }): Promise<ReadonlySet<string>>;
  /** Removes a tag; images stay. Throws NotFoundError. */
  deleteTag(tag: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Uploads images, given root first: what an endpoint has is skipped. Then tags are set and the index is told. Resolves with
   * the IDs that were uploaded somewhere.
   */
  push(images: readonly V1Upload[], options: V1PushOptions): Promise<ReadonlySet<string>>;
}

/** One entry of a search. */
export interface V1SearchResult {
  readonly name: string;
  readonly description: string;
  readonly stars: number | undefined;
  readonly official: boolean;
}
