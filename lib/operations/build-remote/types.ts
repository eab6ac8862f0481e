import type { LayerBuilder, LayerIndexer } from '../../layer/index.js';
import type { FileTree } from '../../rootfs/index.js';
import type { BuildRequest } from '../build/index.js';
import type { CopyTransports } from '../copy/index.js';

export interface RemoteBuildDeps extends CopyTransports {
  /** Expands a short name. */
  readonly fullName: (name: string) => Promise<string>;
  /** Starts the threads that index layers; the caller closes it. */
  readonly createIndexer: () => Promise<LayerIndexer>;
  /** Reports whether a file is an index that `openLayers` takes. */
  readonly isLayerIndex: (index: number) => Promise<boolean>;
  /** Combines layers, lowest first, into a tree, from their indexes (open descriptors) and contents. */
  readonly openLayers: (
    layers: readonly { readonly index: number; readonly data: () => Promise<number> }[],
  ) => Promise<FileTree>;
  /** `createLayerBuilder` of the room layer. */
  readonly createLayerBuilder: (base: FileTree | undefined) => Promise<LayerBuilder>;
  /** The user's directory for layer indexes; undefined: indexes last for this build only. */
  readonly cacheDirectory: string | undefined;
}

export type RemoteBuildRequest = Omit<
  BuildRequest,
  'pull' | 'reserveBytes' | 'isSkipped' | 'importStep' | 'cacheMounts'
>;
