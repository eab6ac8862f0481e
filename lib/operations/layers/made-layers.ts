import { digestHex, type ChainId, type Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { cleanUpAlone, deleteUnusedBlobs, readRecords } from '../store/index.js';
import type { LayerPlan } from './unpack-layers.js';

/** Layers that a command has fetched and unpacked, to be removed if the disk becomes full. */
export class MadeLayers {
  readonly #layers = new Set<ChainId>();
  readonly #blobs = new Set<Digest>();

  /** Adds layers, oldest first. */
  add(steps: readonly Pick<LayerPlan, 'chainId' | 'blob'>[]): void {
    for (const { chainId, blob } of steps) {
      this.#layers.add(chainId);
      this.#blobs.add(blob.digest);
    }
  }

  /**
   * Deletes those that no image, container or other layer uses. Must not be called with the store's lock. If another
   * process is working in the store, leaves them to `store gc`. Ignores imgtool's errors.
   */
  async giveBack(deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots'>): Promise<void> {
    const { metadata, snapshots } = deps;
    await cleanUpAlone(deps, async () => {
      const { images, layers, containers } = await readRecords({ metadata });
      const needed = new Set<ChainId | undefined>([
        ...images.flatMap(({ chainIds }) => chainIds),
        ...containers.map(({ base }) => base),
        ...layers.flatMap(({ chainId, parent }) => (this.#layers.has(chainId) ? [] : [parent])),
      ]);
      for (const chainId of [...this.#layers].toReversed()) {
        if (needed.has(chainId)) {
          needed.add(layers.find((layer) => layer.chainId === chainId)?.parent);
          continue;
        }
        await metadata.layers.delete(digestHex(chainId));
        await snapshots.removeLayer(chainId);
      }
      await deleteUnusedBlobs(deps, this.#blobs);
      await snapshots.settleSpace(new AbortController().signal);
    });
  }
}
