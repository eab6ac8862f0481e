import type { ContentStore } from '../content/index.js';
import type {
  LayerApplier,
  PackedLayer,
  PackInput,
  PackTreeInput,
  RecompressedLayer,
  RecompressInput,
} from '../layer/index.js';
import type { MetadataStore } from '../metadata/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { RegistryClient } from '../registry/index.js';
import type { Change, RootfsAccess } from '../rootfs/index.js';
import type { ContainerRuntime } from '../runtime/index.js';
import type { ChangesInput, Snapshotter } from '../snapshot/index.js';

/**
 * What operations work with: interfaces only, made by the caller (`imgtool/drivers.ts`, a program, a test) and closed by
 * it. Each operation asks for the part it needs (`Pick<OperationDeps, 'metadata'>`).
 */
export interface OperationDeps {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly snapshots: Snapshotter;
  /** May be loaded when it is first used; nothing is sent before. */
  readonly registry: RegistryClient;
  /** Called only when there may be something to unpack; the operation closes what it gets. */
  readonly createApplier: () => LayerApplier | Promise<LayerApplier>;
  /** Finds what changed between a layer and a frozen snapshot (`changes` of the room snapshot). */
  readonly compareTrees: (input: ChangesInput) => Promise<Change[]>;
  /** Writes changes as a layer (`packLayer` of the room layer). */
  readonly packLayer: (input: PackInput) => Promise<PackedLayer>;
  /** Writes files as a plain tar (`packTree` of the room layer). */
  readonly packTree: (input: PackTreeInput) => Promise<PackedLayer>;
  /** Safe access inside containers. */
  readonly rootfs: RootfsAccess;
  /** Writes a layer blob compressed in another way (`recompressLayer` of the room layer). */
  readonly recompressLayer: (input: RecompressInput) => Promise<RecompressedLayer>;
  /** Runs commands in containers. */
  readonly runtime: ContainerRuntime;
  /** The full name of a short one that this machine has an alias for; any other name as it is. Default: no aliases. */
  readonly fullName?: (name: string) => Promise<string>;
  readonly progress: ProgressSink;
}
