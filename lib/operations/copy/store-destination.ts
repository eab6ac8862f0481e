import { pipeline } from 'node:stream/promises';
import { NotFoundError, UsageError } from '../../errors.js';
import type { HeldLock } from '../../metadata/index.js';
import type { RepositoryReader } from '../../registry/index.js';
import {
  formatReference,
  hostPlatform,
  isKeptElsewhere,
  parseManifest,
  parseReference,
  type Descriptor,
  type ImageDestination,
  type RawManifest,
  type Reference,
  type ReopenableBlob,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { keepingReserve } from '../layers/index.js';
import { lockStore, recordImage, sweepStore } from '../store/index.js';
import { bringInImage } from './bring-in-image.js';

interface Signal {
  readonly signal: AbortSignal;
}

/** What a store needs to take images. */
export type StoreDestinationDeps = Pick<
  OperationDeps,
  'content' | 'metadata' | 'snapshots' | 'createApplier' | 'progress'
>;

/** How a store takes images. */
export interface StoreDestinationOptions extends Signal {
  /** Bytes to leave free on the store's file system. */
  readonly reserveBytes: number;
}

/** The local store, to copy to: blobs first; in `commit` they are unpacked and the image gets its name. */
class StoreDestination implements ImageDestination {
  readonly name: string;
  readonly takesIndex = false;
  readonly parallelBlobs = Infinity;
  readonly #deps: StoreDestinationDeps;
  readonly #reference: Reference;
  readonly #options: StoreDestinationOptions;
  readonly #lock: HeldLock;
  #manifest: RawManifest | undefined;

  constructor(deps: StoreDestinationDeps, reference: Reference, options: StoreDestinationOptions, lock: HeldLock) {
    this.name = `store:${formatReference(reference)}`;
    this.#deps = deps;
    this.#reference = reference;
    this.#options = options;
    this.#lock = lock;
  }

  async hasBlob({ digest, size }: Descriptor): Promise<boolean> {
    return (await this.#deps.content.stat(digest))?.size === size;
  }

  /** Never skipped: an image that is there gets its name all the same. */
  hasManifest(): Promise<boolean> {
    return Promise.resolve(false);
  }

  mountBlob(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async putBlob(
    blob: ReopenableBlob,
    { signal, onProgress }: Signal & { readonly onProgress?: (transferred: number) => void },
  ): Promise<void> {
    const ingest = await this.#deps.content.beginIngest(blob.descriptor, { signal });
    if (ingest === undefined) return;
    try {
      // Without a size: whether the image as a whole has room is judged when its layers are unpacked.
      await keepingReserve(this.#deps, { signal }, async (guarded) =>
        pipeline(
          await blob.open({ signal: guarded, offset: ingest.offset }),
          async (chunks: AsyncIterable<Buffer>) => {
            for await (const chunk of chunks) {
              await ingest.write(chunk);
              onProgress?.(ingest.offset);
            }
          },
          { signal: guarded },
        ),
      );
      await ingest.commit();
    } finally {
      await ingest.release();
    }
  }

  putManifest(manifest: RawManifest): Promise<void> {
    this.#manifest = manifest;
    return Promise.resolve();
  }

  async commit({ signal }: Signal): Promise<void> {
    const raw = this.#manifest;
    if (raw === undefined) return;
    const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType, `manifest ${raw.descriptor.digest}`);
    if (manifest.kind === 'index') throw new TypeError('an index was put into a store');
    const { reserveBytes } = this.#options;
    const reference = { ...this.#reference, digest: raw.descriptor.digest };
    const platform = { platform: hostPlatform(), platformGiven: false };
    const applier = await this.#deps.createApplier();
    try {
      const { image } = await bringInImage(this.#deps, nowhere(this.name), applier, {
        resolved: { manifest, raw, index: undefined },
        request: { reference, ...platform, reserveBytes, signal },
      });
      // Where it came from may be gone when power comes back.
      await this.#deps.snapshots.sync();
      await recordImage(this.#deps, image, { name: formatReference(this.#reference), signal });
    } finally {
      await applier.close();
    }
  }

  close(): Promise<void> {
    this.#lock.release();
    return Promise.resolve();
  }
}

/** Opens the local store to copy to. Throws InvalidReferenceError, UsageError (a digest is no name), AbortError. */
export async function openStoreDestination(
  deps: StoreDestinationDeps,
  name: string,
  options: StoreDestinationOptions,
): Promise<ImageDestination> {
  const reference = parseReference(name);
  if (reference.digest !== undefined) {
    throw new UsageError('a digest cannot be given as a name', { hint: 'write store:HOST/REPOSITORY:TAG' });
  }
  const lock = await lockStore(deps, options);
  try {
    await sweepStore(deps);
    return new StoreDestination(deps, reference, options, lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A repository that has nothing: what of an image is not in the store by then was left out, or dropped as damaged. */
function nowhere(name: string): RepositoryReader {
  const never = (): never => {
    throw new TypeError(`${name}: only its blobs are asked for`);
  };
  return {
    host: 'store',
    repository: 'image',
    resolve: never,
    manifest: never,
    blob: (descriptor) => ({ descriptor, open: () => Promise.reject(blobIsMissing(name, descriptor)) }),
    tags: never,
    referrers: never,
  };
}

function blobIsMissing(name: string, blob: Descriptor): NotFoundError {
  const { digest, urls = [] } = blob;
  const facts = { kind: 'blob', subject: digest } as const;
  if (isKeptElsewhere(blob)) {
    return new NotFoundError(`${name}: layer ${digest} is kept elsewhere, at ${urls[0]!.slice(0, 200)}`, {
      ...facts,
      hint: 'the store needs all layers: try imgtool pull, which asks the registry for this one too',
    });
  }
  return new NotFoundError(`${name}: blob ${digest} was damaged in the store and is gone`, {
    ...facts,
    hint: 'run it again: the blob is then copied anew',
  });
}
