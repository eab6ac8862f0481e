/**
 * The library's entry point: class `Imgtool` with a method for everything that imgtool can do. The command line is
 * built on it, and other programs can be too. Concrete drivers are constructed in `drivers.ts` and the two files beside
 * it. May import every room beneath `cli`, and loads rooms on demand.
 */
export * from './archive-formats.js';
export * from './defaults.js';
export * from './imgtool.js';
export * from './split-credentials.js';
export * from './tag-limits.js';
export type { HostSettings, ImgtoolOptions } from './settings.js';
export type { SaveOptions, LoadOptions } from './archives.js';
export type { BuildCheck, BuiltImage } from './build.js';
export type { BuildOptions } from './build-request.js';
export type { Stoppable } from './common.js';
export type { ListContainersOptions, ListedContainer } from './container-list.js';
export type {
  CommitOptions,
  CpOptions,
  CreatedContainer,
  CreateOptions,
  ImportOptions,
  RemoveContainerOptions,
} from './containers.js';
export type { CopyOptions } from './copies.js';
export type { DiffEntry, DiffOptions } from './diff.js';
export type { ListImagesOptions } from './image-list.js';
export type {
  InspectedAsContainer,
  InspectedAsImage,
  InspectOptions,
  PlanPullOptions,
  PullOptions,
  PushOptions,
  RemoveImageOptions,
} from './images.js';
export type { LoginOptions } from './logins.js';
export type { MirrorFileOptions, MirrorOptions } from './mirror-rules.js';
export type { AppendedTar, ChangeOptions, RebaseOptions } from './mutate.js';
export type { ReadFileOptions } from './read-file.js';
export type { DeleteRemoteOptions, IndexOptions, SearchOptions, TagsOptions } from './registries.js';
export type { RunOptions } from './run.js';
export type { ServedRegistry, ServeOptions } from './serve.js';
export type { StoreFsckOptions, StoreGcOptions, StoreInitOptions } from './store.js';
export type { SyncDirectoriesOptions, SyncedImage } from './sync-directories.js';
export type { DeadTag, SyncOptions, WorkerOptions } from './sync.js';
export type { Drivers } from './drivers.js';
export type { SideOptions } from './sides.js';
