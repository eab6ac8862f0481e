import type { ContentStore } from '../content/index.js';
import type { LayerApplier } from '../layer/index.js';
import type { MetadataStore } from '../metadata/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { RegistryClient } from '../registry/index.js';
import type { Snapshotter } from '../snapshot/index.js';

/**
 * What operations work with: interfaces only, made by the caller (the CLI's `compose.ts`, a program, a test) and closed by
 * it. Each operation asks for the part it needs (`Pick<OperationDeps, 'metadata'>`).
 */
export interface OperationDeps {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly snapshots: Snapshotter;
  readonly registry: RegistryClient;
  /** Starts the unpacking threads; the operation closes what it started. */
  readonly createApplier: () => LayerApplier;
  readonly progress: ProgressSink;
}
