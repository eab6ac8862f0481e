import type { LayerBuilder, LayerIndexer } from '../../layer/index.js';
import type { FileTree } from '../../rootfs/index.js';
import type { BuildRequest, StepReport } from '../build/index.js';
import type { CopyTransports } from '../copy/index.js';
import type { Digest } from '../../spec/index.js';

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

/** What to build, and where the image goes: `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`. */
export interface RemoteBuildRequest extends Omit<BuildRequest, 'pull' | 'bootId' | 'reserveBytes'> {
  readonly destinations: readonly string[];
}

/** The image that was built. Bytes. */
export interface RemoteBuildResult {
  /** Digest of the config. */
  readonly id: Digest;
  /** Digest of the manifest. */
  readonly digest: Digest;
  readonly names: readonly string[];
  readonly platform: string;
  readonly layers: readonly { readonly digest: Digest; readonly size: number; readonly state: 'packed' | 'present' }[];
  readonly steps: readonly StepReport[];
  readonly seconds: number;
}
