/**
 * The typed library. `Imgtool` does what the command line does: one method a command, drivers wired inside. Programs that want
 * other parts make the drivers they need (`openStore`, `createContentStore`, …), hand them to an operation (`pullImage`,
 * `commitContainer`, …) as its `deps`, and close what they made.
 */
export { Imgtool } from './imgtool/index.js';
export type * from './imgtool/index.js';
export {
  applyConfigChanges,
  CONFIG_INSTRUCTIONS,
  IgnorePatterns,
  lint as lintDockerfile,
  parseDockerfile,
  type Dockerfile,
} from './dockerfile/index.js';
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
