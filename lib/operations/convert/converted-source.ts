import type { Descriptor, Digest, ImageSelector, ImageSource, RawManifest, ReopenableBlob } from '../../spec/index.js';

/** A source that adds new manifests and blobs to those of another source. */
export class ConvertedSource implements ImageSource {
  readonly #origin: ImageSource;
  readonly #manifests = new Map<Digest, RawManifest>();
  readonly #blobs = new Map<Digest, ReopenableBlob>();

  constructor(origin: ImageSource) {
    this.#origin = origin;
  }

  get name(): string {
    return this.#origin.name;
  }

  get repository(): ImageSource['repository'] {
    return this.#origin.repository;
  }

  neighboursAt(host: string, blob?: Pick<Descriptor, 'digest'>): readonly string[] {
    return this.#origin.neighboursAt?.(host, blob) ?? [];
  }

  addManifest(raw: RawManifest): void {
    this.#manifests.set(raw.descriptor.digest, raw);
  }

  addBlob(blob: ReopenableBlob): void {
    this.#blobs.set(blob.descriptor.digest, blob);
  }

  async manifest(selector: ImageSelector, options: { readonly signal: AbortSignal }): Promise<RawManifest> {
    const made = selector.digest === undefined ? undefined : this.#manifests.get(selector.digest);
    return made ?? this.#origin.manifest(selector, options);
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    return this.#blobs.get(descriptor.digest) ?? this.#origin.blob(descriptor);
  }

  async blobSize(digest: Digest, options: { readonly signal: AbortSignal }): Promise<number> {
    return this.#blobs.get(digest)?.descriptor.size ?? (await this.#origin.blobSize!(digest, options));
  }

  tags(options: { readonly signal: AbortSignal }): AsyncIterable<string> {
    return this.#origin.tags(options);
  }

  /** Does nothing: the original source belongs to its creator. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}
