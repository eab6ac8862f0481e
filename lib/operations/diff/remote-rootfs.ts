import { randomBytes } from 'node:crypto';
import { DigestMismatchError } from '../../errors.js';
import type { HeldLock } from '../../metadata/index.js';
import type { RepositoryReader } from '../../registry/index.js';
import { MAX_CONFIG_BYTES, type ChainId, type Digest, tagOrDigest } from '../../spec/index.js';
import { closeAll, GrowingFile } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { type BlobDownloads, startDownloads } from '../download/index.js';
import {
  blobStates,
  type ImageQuery,
  keepingReserve,
  type LayerPlan,
  describeImage,
  requireSpace,
  type RestoreDeps,
} from '../layers/index.js';
import { readBlob, RegistrySource, resolveImage } from '../registry/index.js';
import { dropUnusedBlobs, hasLayer } from '../store/index.js';

export type RemoteRootfsDeps = RestoreDeps & Pick<OperationDeps, 'registry'>;

/** An image at a registry with its documents. */
export interface RemoteImage {
  readonly repository: RepositoryReader;
  /** Oldest first. */
  readonly steps: readonly LayerPlan[];
}

/** A temporary tree: a read-only snapshot in work. */
interface Made {
  readonly key: string;
  readonly path: string;
}

/**
 * Temporary file trees of images at registries, on top of the store's layers; layers in the store are neither fetched
 * nor unpacked. `close` removes the trees, and `dropBlobs`, called without the store's lock, removes fetched blobs.
 */
export class RemoteRootfs {
  readonly #deps: RemoteRootfsDeps;
  readonly #made = new Map<ChainId, Made>();
  readonly #keys: { readonly key: string; readonly alive: HeldLock }[] = [];
  readonly #fetched: Digest[] = [];

  constructor(deps: RemoteRootfsDeps) {
    this.#deps = deps;
  }

  /** Reads manifest and config. Throws the errors of `resolveImage` and `describeImage`. */
  async find(query: ImageQuery): Promise<RemoteImage> {
    const { signal } = query;
    const repository = await this.#deps.registry.open(query.reference, { signal });
    const resolved = await resolveImage(repository, tagOrDigest(query.reference), query);
    const { steps } = await describeImage(this.#deps, resolved, query, (config) =>
      readBlob(repository.blob(config), { maxBytes: MAX_CONFIG_BYTES, signal }),
    );
    return { repository, steps };
  }

  /**
   * Directory of the tree of `steps`, the lowest layers of an image; undefined for none. Throws the errors of fetching
   * and unpacking, DiskSpaceError, DigestMismatchError.
   */
  async pathOf(
    { repository }: Pick<RemoteImage, 'repository'>,
    steps: readonly LayerPlan[],
    { reserveBytes, signal }: { readonly reserveBytes: number; readonly signal: AbortSignal },
  ): Promise<string | undefined> {
    const { snapshots, content } = this.#deps;
    let present = steps.length;
    for (; present > 0; present--) {
      const { chainId } = steps[present - 1]!;
      if (this.#made.has(chainId) || (await hasLayer(this.#deps, chainId))) break;
    }
    const top = steps[present - 1]?.chainId;
    const missing = steps.slice(present);
    if (missing.length === 0)
      return top === undefined ? undefined : (this.#made.get(top)?.path ?? snapshots.layerPath(top));

    const states = await blobStates(content, missing, missing);
    await requireSpace(this.#deps, missing, states, { reserveBytes, signal });
    const failure = new AbortController();
    const stopped = AbortSignal.any([signal, failure.signal]);
    const blobs = missing.map(({ blob }) => blob);
    for (const { digest, state } of states) if (state === 'fetched') this.#fetched.push(digest);
    const downloads = startDownloads(this.#deps, new RegistrySource(repository), { blobs, signal: stopped });
    try {
      return await keepingReserve(this.#deps, { reserveBytes, signal }, (guarded) =>
        this.#unpack(downloads, missing, { top, signal: guarded }),
      );
    } catch (error) {
      failure.abort(error);
      throw error;
    } finally {
      await downloads.close();
    }
  }

  /** Removes the trees. */
  async close(): Promise<void> {
    await closeAll(
      this.#keys
        .toReversed()
        .flatMap(({ key, alive }) => [() => this.#deps.snapshots.removeWork(key), () => alive.release()]),
    );
  }

  /** Deletes the fetched blobs that no image has. */
  async dropBlobs(): Promise<void> {
    await dropUnusedBlobs(this.#deps, this.#fetched);
  }

  async #unpack(
    downloads: BlobDownloads,
    steps: readonly LayerPlan[],
    { top, signal }: { readonly top: ChainId | undefined; readonly signal: AbortSignal },
  ): Promise<string> {
    const { snapshots, progress } = this.#deps;
    const key = await this.#newKey(signal);
    const below = top === undefined ? undefined : this.#made.get(top);
    const root = await snapshots.prepare(key, below === undefined ? top : { frozen: below.key });
    const applier = await this.#deps.createApplier();
    try {
      for (const { blob, diffId } of steps) {
        // Unpacking onto one tree cannot be undone, so it needs verified bytes.
        await downloads.done(blob.digest);
        const { fd } = await downloads.readable(blob.digest);
        const layer = { v: 1, kind: 'layer', action: 'unpack', digest: blob.digest } as const;
        const applied = await applier.apply({
          fd,
          growing: GrowingFile.complete(blob.size),
          size: blob.size,
          root,
          signal,
          onProgress: (transferred) => progress.event({ ...layer, state: 'active', transferred }),
        });
        progress.event({ ...layer, state: 'done', transferred: applied.size, total: applied.size });
        if (applied.diffId === diffId) continue;
        throw new DigestMismatchError(`layer ${blob.digest} has diffID ${applied.diffId}, the config says ${diffId}`, {
          expected: diffId,
          actual: applied.diffId,
          hint: 'the image is broken at its source: its config does not match its layers',
        });
      }
    } finally {
      await applier.close();
    }
    const frozen = await this.#newKey(signal);
    const path = await snapshots.freezeWork(frozen, key);
    this.#made.set(steps.at(-1)!.chainId, { key: frozen, path });
    return path;
  }

  async #newKey(signal: AbortSignal): Promise<string> {
    const key = randomBytes(16).toString('hex');
    const alive = await this.#deps.metadata.lock(`work-${key}`, { mode: 'exclusive', signal });
    this.#keys.push({ key, alive });
    return key;
  }
}
