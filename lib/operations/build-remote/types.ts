import type { LayerBuilder, LayerIndexer } from '../../layer/index.js';
import type { FileTree } from '../../rootfs/index.js';
import type { BuildRequest } from '../build/index.js';
import type { CopyTransports } from '../copy/index.js';

/** What building without a store works with. */
export interface RemoteBuildDeps extends CopyTransports {
  /** The full name of a short one. */
  readonly fullName: (name: string) => Promise<string>;
  /** Starts the threads that index layers; closed by who started them. */
  readonly createIndexer: () => Promise<LayerIndexer>;
  /** The tree that layers make, lowest first, by their indexes (open descriptors) and contents. */
  readonly openLayers: (
    layers: readonly { readonly index: number; readonly data: () => Promise<number> }[],
  ) => Promise<FileTree>;
  /** `createLayerBuilder` of the room layer. */
  readonly createLayerBuilder: (base: FileTree | undefined) => Promise<LayerBuilder>;
  /** Directory of this user that keeps the indexes of layers; undefined: they are kept for this build only. */
  readonly cacheDirectory: string | undefined;
}

/** What to build. */
export type RemoteBuildRequest = Omit<
  BuildRequest,
  'pull' | 'reserveBytes' | 'isSkipped' | 'importStep' | 'cacheMounts'
>;
