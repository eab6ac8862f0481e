import { Readable } from 'node:stream';
import { InvalidManifestError, UsageError } from '../../errors.js';
import type { ProgressSink } from '../../progress/index.js';
import type { V1Repository, V1Upload } from '../../registry/index.js';
import {
  chainIds,
  MAX_CONFIG_BYTES,
  EMPTY_LAYER,
  parseImageConfig,
  parseManifest,
  type Descriptor,
  type DiffId,
  type Digest,
  type ImageDestination,
  type RawManifest,
  type ReopenableBlob,
  v1ImagesFrom,
  type V1ImageOfLayer,
  type Abortable,
} from '../../spec/index.js';
import { readSmallBlob, readVerified } from '../convert/index.js';

/** What the local store knows about an image besides its documents. */
interface KnownOfImage {
  /** See `v1ImagesFrom`. */
  readonly configOf?: Parameters<typeof v1ImagesFrom>[1];
  /** For a config that does not declare them. */
  readonly diffIds?: readonly DiffId[];
}

/** A v1 image of a plan. `bytes` includes its JSON. */
export interface PlannedV1Image {
  /** Undefined when the image has no files. */
  readonly layer: Digest | undefined;
  readonly bytes: number;
  readonly isMissing: boolean;
}

/**
 * A repository at a v1 registry as a destination. `putBlob` only stores the blob's source: `commit` sends the images
 * root first, reads each layer then, and skips images that the registry has.
 */
export class V1Destination implements ImageDestination {
  readonly takesIndex = false;
  readonly parallelBlobs = Infinity;
  readonly sendsAtCommit = true;
  readonly #registry: V1Repository;
  readonly #progress: ProgressSink;
  readonly #known: KnownOfImage;
  readonly #blobs = new Map<Digest, ReopenableBlob>();
  readonly #tags: string[] = [];
  #manifest: RawManifest | undefined;

  constructor(registry: V1Repository, progress: ProgressSink, known: KnownOfImage = {}) {
    this.#registry = registry;
    this.#progress = progress;
    this.#known = known;
  }

  get name(): string {
    return `docker-v1://${this.#registry.host}/${this.#registry.repository}`;
  }

  hasBlob({ digest }: Descriptor): Promise<boolean> {
    return Promise.resolve(this.#blobs.has(digest));
  }

  hasManifest(): Promise<boolean> {
    return Promise.resolve(false);
  }

  putBlob(blob: ReopenableBlob): Promise<void> {
    this.#blobs.set(blob.descriptor.digest, blob);
    return Promise.resolve();
  }

  putManifest(manifest: RawManifest, { tag }: { readonly tag?: string | undefined }): Promise<void> {
    this.#manifest = manifest;
    if (tag !== undefined) this.#tags.push(tag);
    return Promise.resolve();
  }

  /** The images that `commit` would send. Changes nothing. Throws the errors of the registry. */
  async plan({ signal }: Abortable): Promise<PlannedV1Image[]> {
    const images = await this.#images(this.#manifest!, signal);
    const ids = images.map(({ image }) => image.id);
    const missing = await this.#registry.missing(ids, { signal });
    return images.map(({ image, layer }) => ({
      layer: layer?.digest,
      bytes: image.bytes.length + (layer?.size ?? EMPTY_LAYER.length),
      isMissing: missing.has(image.id),
    }));
  }

  async commit({ signal }: Abortable): Promise<ReadonlySet<Digest>> {
    if (this.#tags.length === 0) {
      throw new UsageError(`${this.#registry.host} speaks registry protocol v1, which knows tags and no digests`, {
        hint: 'write docker-v1://HOST/REPOSITORY:TAG',
      });
    }
    const images = await this.#images(this.#manifest!, signal);
    const uploads = images.map((image) => this.#uploadOf(image));
    const top = images.at(-1)!.image.id;
    const sizes = new Map(uploads.map(({ image, size }) => [image.id, size]));
    const uploaded = await this.#registry.push(uploads, {
      signal,
      tags: Object.fromEntries(this.#tags.map((tag) => [tag, top])),
      onImage: (digest, state, transferred = 0) => {
        const total = sizes.get(digest) ?? 0;
        this.#progress.event({ v: 1, kind: 'blob', action: 'upload', digest, state, total, transferred });
      },
      onRetry: (message) => this.#progress.note(message),
    });
    return new Set(images.flatMap(({ image, layer }) => (uploaded.has(image.id) ? [] : (layer?.digest ?? []))));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #images({ bytes, descriptor }: RawManifest, signal: AbortSignal): Promise<V1ImageOfLayer[]> {
    const where = `manifest ${descriptor.digest}`;
    const manifest = parseManifest(bytes, descriptor.mediaType, where);
    if (manifest.kind === 'index') throw new TypeError('an index was put into a v1 repository');
    const source = { blob: ({ digest }: { readonly digest: Digest }) => this.#blobs.get(digest)! };
    const config = await readSmallBlob(source, manifest.config, { maxBytes: MAX_CONFIG_BYTES, signal });
    const declared = parseImageConfig(config, `config ${manifest.config.digest}`).rootfs.diff_ids;
    const diffIds = this.#known.diffIds ?? declared;
    if (diffIds.length !== manifest.layers.length) {
      throw new InvalidManifestError(
        `${where} has ${manifest.layers.length} layers, its config ${diffIds.length} diffIDs`,
        { where },
      );
    }
    return v1ImagesFrom(
      { config, layers: manifest.layers, diffIds, chainIds: chainIds(diffIds) },
      this.#known.configOf,
    );
  }

  #uploadOf({ image, layer }: V1ImageOfLayer): V1Upload {
    if (layer === undefined) {
      const open = (): Promise<Readable> => Promise.resolve(Readable.from([EMPTY_LAYER], { objectMode: false }));
      return { image, size: EMPTY_LAYER.length, open };
    }
    return { image, size: layer.size, open: ({ signal }) => readVerified(this.#blobs.get(layer.digest)!, { signal }) };
  }
}
