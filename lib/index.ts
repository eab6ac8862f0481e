/**
 * The typed library: what the command line can do, a program can import. A program makes the drivers it needs
 * (`openStore`, `createContentStore`, …), hands them to an operation (`pull`, `commit`, `push`, …) as its `deps`, and
 * closes what it made. Adds nothing of its own.
 */
export * from './errors.js';
export * from './operations/index.js';
export * from './progress/index.js';
export * from './spec/index.js';
export {
  createImageArchive,
  openArchiveDestination,
  openArchiveSource,
  openImageArchive,
  type ImageArchive,
  type ImageArchiveWriter,
} from './archive/index.js';
export { createCredentialStore, type Credentials, type CredentialStore } from './auth/index.js';
export { createContentStore, type ContentStore } from './content/index.js';
export { createLayerApplier, packLayer, packTree, type LayerApplier, type PackedLayer } from './layer/index.js';
export {
  createMetadataStore,
  currentBootId,
  type ContainerRecord,
  type ImageRecord,
  type MetadataStore,
} from './metadata/index.js';
export {
  createRegistryClient,
  type RegistryClient,
  type RepositoryReader,
  type RepositoryWriter,
} from './registry/index.js';
export { createContainerRuntime, type ContainerRuntime } from './runtime/index.js';
export { startRegistryServer, type RunningServer } from './server/index.js';
export {
  changes,
  createSnapshotter,
  findStore,
  openStore,
  type Snapshotter,
  type StoreRoot,
} from './snapshot/index.js';
