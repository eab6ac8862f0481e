import type { Readable, Writable } from 'node:stream';
import type {
  ChangedImage,
  CommitResult,
  ExportResult,
  Garbage,
  HistoryStep,
  ImageSummary,
  ImageTree,
  ImportResult,
  LoadedImage,
  NamedImage,
  PullPlan,
  PullResult,
  PushPlan,
  PushResult,
  RemovedImage,
  SavedImage,
  StoreCheck,
  StoreUsage,
} from '../operations/index.js';
import type { CopyTotals } from '../rootfs/index.js';
import type { SpaceReport, StoreRoot } from '../snapshot/index.js';
import type { LoadOptions, SaveOptions } from './archives.js';
import type { BuildCheck, BuiltImage } from './build.js';
import type { BuildOptions } from './build-request.js';
import type { Stoppable } from './common.js';
import type { ListContainersOptions, ListedContainer } from './container-list.js';
import type {
  CommitOptions,
  CpOptions,
  CreateOptions,
  CreatedContainer,
  ImportOptions,
  RemoveContainerOptions,
} from './containers.js';
import type { DiffEntry, DiffOptions } from './diff.js';
import type { ListImagesOptions } from './image-list.js';
import type {
  InspectOptions,
  InspectedAsContainer,
  InspectedAsImage,
  PlanPullOptions,
  PullOptions,
  PushOptions,
  RemoveImageOptions,
} from './images.js';
import type { AppendedTar, ChangeOptions, RebaseOptions } from './mutate.js';
import type { RunOptions } from './run.js';
import type { StoreFsckOptions, StoreGcOptions, StoreInitOptions } from './store.js';
import { RegistryMethods } from './registry-methods.js';

/**
 * The features of imgtool as methods; each command of the command line has a method of the same name. Names and
 * references are text, parsed inside, and options have defaults. Resources are opened on first use, and several calls
 * may run concurrently. `close`, or `await using`, ends connections. Besides the errors they name, methods throw
 * UsageError for an invalid argument or option and AbortError when their signal aborts.
 */
export class Imgtool extends RegistryMethods {
  /** Pulls an image into the store; content already in the store is not fetched again, and an interrupted pull resumes. */
  async pull(ref: string, options: PullOptions = {}): Promise<PullResult> {
    return (await import('./images.js')).pull(await this.drivers(), ref, options);
  }

  /** Pulls every tag of a repository. */
  async pullAll(repository: string, options: PullOptions = {}): Promise<PullResult[]> {
    return (await import('./images.js')).pullAll(await this.drivers(), repository, options);
  }

  /** Plans a pull without changing anything. */
  async planPull(ref: string, options: PlanPullOptions = {}): Promise<PullPlan> {
    return (await import('./images.js')).planPull(await this.drivers(), ref, options);
  }

  /** Plans `pullAll` without changing anything: a plan for each tag; content that several tags share counts once. */
  async planPullAll(repository: string, options: PlanPullOptions = {}): Promise<PullPlan[]> {
    return (await import('./images.js')).planPullAll(await this.drivers(), repository, options);
  }

  /** Pushes an image of the store to a registry; only missing blobs are sent. */
  async push(image: string, options: PushOptions = {}): Promise<PushResult> {
    return (await import('./images.js')).push(await this.drivers(), image, options);
  }

  /** Pushes every image that has a name in `repository`, one name after the other. */
  async pushAll(repository: string, options: PushOptions = {}): Promise<PushResult[]> {
    return (await import('./images.js')).pushAll(await this.drivers(), repository, options);
  }

  /** Plans a push, with what it would send, mount and find at the registry, without changing anything. */
  async planPush(image: string, options: PushOptions = {}): Promise<PushPlan> {
    return (await import('./images.js')).planPush(await this.drivers(), image, options);
  }

  /** Lists the images of the store. `filter`: part of a name, or the beginning of an ID; `*` matches any text. */
  async images(filter?: string, options: ListImagesOptions = {}): Promise<ImageSummary[]> {
    return (await import('./image-list.js')).listImages(await this.drivers(), filter, options);
  }

  /** Returns the details of an image of the store, of one at its registry (`docker://REF`), or of a container. */
  async inspect(name: string, options: InspectOptions & { readonly type: 'image' }): Promise<InspectedAsImage>;
  async inspect(name: string, options: InspectOptions & { readonly type: 'container' }): Promise<InspectedAsContainer>;
  async inspect(name: string, options?: InspectOptions): Promise<InspectedAsImage | InspectedAsContainer>;
  async inspect(name: string, options: InspectOptions = {}): Promise<InspectedAsImage | InspectedAsContainer> {
    return (await import('./images.js')).inspect(await this.drivers(), name, options);
  }

  /** Returns the layers of an image of the store, oldest first, and the images that share them. */
  async tree(image: string): Promise<ImageTree> {
    return (await import('./images.js')).imageTree(await this.drivers(), image);
  }

  /** Returns the history of an image, newest step first. */
  async history(image: string, options: PlanPullOptions = {}): Promise<HistoryStep[]> {
    return (await import('./images.js')).imageHistory(await this.drivers(), image, options);
  }

  /** Adds a name to an image; an image that had the name loses it. */
  async tag(image: string, ref: string, options: Stoppable = {}): Promise<NamedImage> {
    return (await import('./images.js')).tag(await this.drivers(), image, ref, options);
  }

  /** Removes a name from an image; the image stays. */
  async untag(ref: string, options: Stoppable = {}): Promise<NamedImage> {
    return (await import('./images.js')).untag(await this.drivers(), ref, options);
  }

  /** Removes a name, and the image if it has no other name. */
  async rmi(image: string, options: RemoveImageOptions = {}): Promise<RemovedImage> {
    return (await import('./images.js')).removeImage(await this.drivers(), image, options);
  }

  /** Creates an image with a modified config. */
  async mutate(image: string, options: ChangeOptions = {}): Promise<ChangedImage> {
    return (await import('./mutate.js')).mutateImage(await this.drivers(), image, options);
  }

  /** Creates an image with tars appended as layers. */
  async append(image: string, tars: readonly AppendedTar[], options: ChangeOptions = {}): Promise<ChangedImage> {
    return (await import('./mutate.js')).appendToImage(await this.drivers(), image, tars, options);
  }

  /** Creates an image with a single layer. */
  async flatten(image: string, options: ChangeOptions = {}): Promise<ChangedImage> {
    return (await import('./mutate.js')).flattenImage(await this.drivers(), image, options);
  }

  /** Moves the upper layers of an image onto another base. */
  async rebase(image: string, options: RebaseOptions): Promise<ChangedImage> {
    return (await import('./mutate.js')).rebaseImage(await this.drivers(), image, options);
  }

  /** Writes images to an archive: a stream, or a path that appears when it is complete. */
  async save(images: readonly string[], output: string | Writable, options: SaveOptions = {}): Promise<SavedImage[]> {
    return (await import('./archives.js')).save(await this.drivers(), images, output, options);
  }

  /** Loads the images of an archive into the store; its format is detected. */
  async load(source: string | Readable, options: LoadOptions = {}): Promise<LoadedImage[]> {
    return (await import('./archives.js')).load(await this.drivers(), source, options);
  }

  /** Creates a container: a writable snapshot of an image. */
  async create(image: string, options: CreateOptions = {}): Promise<CreatedContainer> {
    return (await import('./containers.js')).createContainer(await this.drivers(), image, options);
  }

  /** Lists the containers. */
  async containers(options: ListContainersOptions = {}): Promise<ListedContainer[]> {
    return (await import('./container-list.js')).listContainers(await this.drivers(), options);
  }

  /** Removes a container and its files. */
  async rm(
    container: string,
    options: RemoveContainerOptions = {},
  ): Promise<{ readonly id: string; readonly name: string }> {
    return (await import('./containers.js')).removeContainer(await this.drivers(), container, options);
  }

  /** Returns the directory of a container's files, ready for use; it needs no unmounting. */
  async mount(container: string): Promise<string> {
    return (await import('./containers.js')).mount(await this.drivers(), container);
  }

  /** Lists the changes in a container or an image, sorted by path. */
  async diff(subject: string, options: DiffOptions = {}): Promise<DiffEntry[]> {
    return (await import('./diff.js')).diff(await this.drivers(), subject, options);
  }

  /** Creates an image from a container, with the changes as one more layer. */
  async commit(container: string, ref?: string, options: CommitOptions = {}): Promise<CommitResult> {
    return (await import('./containers.js')).commit(await this.drivers(), container, ref, options);
  }

  /** Writes all files of a container as a tar. */
  async export(container: string, output: string | Writable, options: Stoppable = {}): Promise<ExportResult> {
    return (await import('./containers.js')).exportContainer(await this.drivers(), container, output, options);
  }

  /** Creates an image from a tar of a root file system. */
  async import(source: string | Readable, ref?: string, options: ImportOptions = {}): Promise<ImportResult> {
    return (await import('./containers.js')).importImage(await this.drivers(), source, ref, options);
  }

  /** Copies files between this machine and containers (`CONTAINER:PATH`). A stream is a tar; returns undefined when writing one. */
  async cp(
    source: string | Readable,
    destination: string | Writable,
    options: CpOptions = {},
  ): Promise<CopyTotals | undefined> {
    return (await import('./containers.js')).copyFiles(await this.drivers(), source, destination, options);
  }

  /** Runs a command in a container, or in a new one of an image, on this process's standard streams. Resolves with its exit code. */
  async run(target: string, command: readonly string[] = [], options: RunOptions = {}): Promise<number> {
    return (await import('./run.js')).runCommand(await this.drivers(), target, command, options);
  }

  /**
   * Builds an image from a Dockerfile. `context`: a directory, a tar, the URL of one, a git repository, or `-` for a
   * tar on `options.stdin`; undefined for a Dockerfile that copies no files from it. Throws BuildStepError for a RUN
   * that fails and DockerfileError for a mistake in the Dockerfile.
   */
  async build(context: string | undefined, options: BuildOptions = {}): Promise<BuiltImage> {
    return (await import('./build.js')).build(await this.drivers(), context, options);
  }

  /** Lints a Dockerfile without building it. */
  async checkBuild(context: string | undefined, options: BuildOptions = {}): Promise<BuildCheck> {
    return (await import('./build.js')).checkBuild(await this.drivers(), context, options);
  }

  /** Creates or mounts the store; the first pull does this too. */
  async storeInit(options: StoreInitOptions = {}): Promise<StoreRoot> {
    return (await import('./store.js')).initStore(await this.drivers(), options);
  }

  /** Returns the location of the store and its free space. */
  async storeInfo(): Promise<StoreRoot & { readonly space: SpaceReport }> {
    return (await import('./store.js')).storeInfo(await this.drivers());
  }

  /** Returns the space used, by category. */
  async storeDf(): Promise<StoreUsage> {
    return (await import('./store.js')).storeUsage(await this.drivers());
  }

  /** Verifies the integrity of the store. */
  async storeFsck(options: StoreFsckOptions = {}): Promise<StoreCheck> {
    return (await import('./store.js')).checkStore(await this.drivers(), options);
  }

  /** Removes everything that no image and no container needs. */
  async storeGc(options: StoreGcOptions = {}): Promise<Garbage> {
    return (await import('./store.js')).collectGarbage(await this.drivers(), options);
  }
}
