import type { Readable } from 'node:stream';
import type { Digest, V1Image } from '../../spec/index.js';

/** An image as a v1 registry describes it. */
export interface V1RemoteImage extends V1Image {
  /** The registry's checksums over JSON and layer; the layer must match one of them. Empty when it states none. */
  readonly payloadChecksums: readonly Digest[];
  /** TarSum of the layer, if the registry states one. */
  readonly tarSum: string | undefined;
  /** Size of the stored layer, if the registry states it. Bytes. */
  readonly layerSize: number | undefined;
}

/** A local copy of a layer's bytes as sent, so that a later attempt can resume. */
export interface LayerPart {
  /** Number of bytes stored. */
  readonly offset: number;
  /** Reads the stored bytes from the first on. */
  read(): AsyncIterable<Buffer>;
  write(chunk: Buffer): Promise<void>;
  restart(): Promise<void>;
}

/** Options of `V1Repository.readLayer`. */
export interface ReadLayerOptions<T> {
  /** The image, or a promise while it is being fetched: JSON and layer are requested concurrently. */
  readonly image: Promise<V1RemoteImage>;
  readonly signal: AbortSignal;
  /** Layers with a higher priority start first within the host's limit. */
  readonly priority?: number;
  /**
   * Consumes the layer (gzip, zstd or a plain tar). The stream ends only after its bytes were verified. Called again
   * with the layer from its start when verification fails, or when the endpoint fails and there is another one.
   * `converted`: the compression differs from that of the registry.
   */
  readonly consume: (body: Readable, converted: boolean) => Promise<T>;
  /**
   * Also receives the bytes as sent. Bytes that it already has are not requested again if the registry states a
   * checksum to verify them; otherwise they are discarded.
   */
  readonly part?: LayerPart;
  /** Called with the number of bytes received so far, as sent. */
  readonly onProgress?: (transferred: number) => void;
  /** Called with a message for users on each interruption. */
  readonly onRetry?: (message: string) => void;
}

/** The result of reading a layer. */
export interface ReadLayer<T> {
  readonly result: T;
  /** `sha256:…` over JSON and layer as sent; registries call it `X-Docker-Checksum-Payload`. */
  readonly payloadChecksum: Digest;
  /** The layer was empty or had a compression that OCI and Docker images do not allow (xz, bzip2), and was passed on as gzip. */
  readonly converted: boolean;
}

/** One v1 image to upload. */
export interface V1Upload {
  readonly image: V1Image;
  /** Size of the layer. Bytes. */
  readonly size: number;
  /** Streams the layer from its start. Called again for each endpoint and attempt. */
  readonly open: (options: { readonly signal: AbortSignal }) => Promise<Readable>;
}

/** Options of `V1Repository.push`. */
export interface V1PushOptions {
  readonly signal: AbortSignal;
  /** The tags to set, with their IDs. */
  readonly tags: Readonly<Record<string, string>>;
  readonly onImage?: (id: string, state: 'skipped' | 'active' | 'done', transferred?: number) => void;
  readonly onRetry?: (message: string) => void;
}

/**
 * One repository of a v1 registry. All methods throw NotFoundError, AuthenticationError, RegistryError, TransportError,
 * InvalidManifestError (for invalid responses), AbortError.
 */
export interface V1Repository {
  readonly host: string;
  readonly repository: string;
  /** Resolves a tag to an image ID. */
  resolve(tag: string, options: { readonly signal: AbortSignal }): Promise<string>;
  /** All tags with their IDs, in the server's order. */
  tags(options: { readonly signal: AbortSignal }): Promise<ReadonlyMap<string, string>>;
  /** The image and its ancestors, root first. Rejects loops and invalid IDs. */
  ancestry(id: string, options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
  /** An image's JSON. Its ID is verified. */
  image(id: string, options: { readonly signal: AbortSignal }): Promise<V1RemoteImage>;
  /**
   * Reads an image's layer and resumes after a broken connection. Throws DigestMismatchError when the layer does not
   * match the registry's checksum, CommandError when the program that decompresses it is missing, and the errors of
   * `consume`.
   */
  readLayer<T>(id: string, options: ReadLayerOptions<T>): Promise<ReadLayer<T>>;
  /** The images that an endpoint lacks or does not report. */
  missing(ids: readonly string[], options: { readonly signal: AbortSignal }): Promise<ReadonlySet<string>>;
  /** Removes a tag; its images remain. Throws NotFoundError. */
  deleteTag(tag: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Uploads images, given root first, and skips those that an endpoint has. Then sets the tags and notifies the index.
   * Resolves with the IDs that were uploaded to at least one endpoint.
   */
  push(images: readonly V1Upload[], options: V1PushOptions): Promise<ReadonlySet<string>>;
}

/** One result of a search. */
export interface V1SearchResult {
  readonly name: string;
  readonly description: string;
  readonly stars: number | undefined;
  readonly official: boolean;
}
