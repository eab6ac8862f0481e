import type { Writable } from 'node:stream';
import type { KeptLogin } from '../auth/index.js';
import type {
  CopyPlan,
  CopyResult,
  DeletedManifest,
  LoginResult,
  MadeIndex,
  SyncReport,
  SyncRule,
} from '../operations/index.js';
import type { V1SearchResult } from '../registry/index.js';
import type { Descriptor, RawManifest } from '../spec/index.js';
import type { Stoppable } from './common.js';
import type { CopyOptions } from './copies.js';
import type { LoginOptions } from './logins.js';
import type { MirrorFileOptions, MirrorOptions } from './mirror-rules.js';
import type { ReadFileOptions } from './read-file.js';
import type { DeleteRemoteOptions, IndexOptions, SearchOptions, TagsOptions } from './registries.js';
import type { ServeOptions, ServedRegistry } from './serve.js';
import type { SyncDirectoriesOptions, SyncedImage } from './sync-directories.js';
import type { DeadTag, SyncOptions, WorkerOptions } from './sync.js';
import { Opened } from './opened.js';

/** Methods for registries; the store is opened only if it is one end. */
export abstract class RegistryMethods extends Opened {
  /** Copies an image between registries, stores and archives: `docker://REF`, `store:NAME`, `oci:DIR[:TAG]` and so on. */
  async copy(source: string, destinations: string | readonly string[], options: CopyOptions = {}): Promise<CopyResult> {
    return (await import('./copies.js')).copy(await this.drivers(), source, destinations, options);
  }

  /** Plans a copy between registries without changing anything. */
  async planCopy(
    source: string,
    destinations: string | readonly string[],
    options: CopyOptions = {},
  ): Promise<CopyPlan> {
    return (await import('./copies.js')).planCopy(await this.drivers(), source, destinations, options);
  }

  /** Returns the rules for `sync` to mirror a source: `HOST/REPOSITORY[:TAG]`, or `HOST/` for its whole catalog. */
  async mirrorRules(
    source: string,
    targets: string | readonly string[],
    options: MirrorOptions = {},
  ): Promise<SyncRule[]> {
    return (await import('./mirror-rules.js')).mirrorRules(await this.drivers(), source, targets, options);
  }

  /** Returns the rules of a mirror file (docs/mirroring.md). */
  async mirrorFile(path: string, options: MirrorFileOptions = {}): Promise<SyncRule[]> {
    return (await import('./mirror-rules.js')).readMirrorFile(await this.drivers(), path, options);
  }

  /** Mirrors repositories; the report names the tags that failed. */
  async sync(rules: readonly SyncRule[], options: SyncOptions = {}): Promise<SyncReport> {
    return (await import('./sync.js')).sync(await this.drivers(), rules, options);
  }

  /** Copies the tags of a repository into skopeo `dir:` directories named `NAME:TAG`, for transfer over an air gap. */
  async syncToDirectories(
    source: string,
    directory: string,
    options: SyncDirectoriesOptions = {},
  ): Promise<SyncedImage[]> {
    return (await import('./sync-directories.js')).syncToDirectories(await this.drivers(), source, directory, options);
  }

  /** Copies the images of such directories to a registry, or a path at one, under the directories' names. */
  async syncFromDirectories(
    directory: string,
    target: string,
    options: SyncDirectoriesOptions = {},
  ): Promise<SyncedImage[]> {
    return (await import('./sync-directories.js')).syncFromDirectories(
      await this.drivers(),
      directory,
      target,
      options,
    );
  }

  /** Copies tags from the queue of `sync` until the signal aborts. */
  async worker(options: WorkerOptions = {}): Promise<void> {
    return (await import('./sync.js')).work(await this.drivers(), options);
  }

  /** Lists the tags that workers gave up on in the last week. */
  async deadTags(options: Stoppable = {}): Promise<DeadTag[]> {
    return (await import('./sync.js')).listDeadTags(await this.drivers(), options);
  }

  /** Lists the tags of a repository. */
  async tags(repository: string, options: TagsOptions = {}): Promise<string[]> {
    return (await import('./registries.js')).listTags(await this.drivers(), repository, options);
  }

  /** Returns the digest of a reference at its registry; for an index, the digest of the index. */
  async digest(ref: string, options: Stoppable = {}): Promise<Pick<Descriptor, 'digest' | 'mediaType' | 'size'>> {
    return (await import('./registries.js')).resolveDigest(await this.drivers(), ref, options);
  }

  /** Reads one file of an image at a registry without pulling it: layers are streamed from the top down, links are followed. */
  async readFile(ref: string, path: string, options: ReadFileOptions = {}): Promise<Buffer> {
    return (await import('./read-file.js')).readFile(await this.drivers(), ref, path, options);
  }

  /** Searches a registry for repositories (protocol v1). */
  async search(registry: string, term: string, options: SearchOptions = {}): Promise<V1SearchResult[]> {
    return (await import('./registries.js')).search(await this.drivers(), registry, term, options);
  }

  /** Lists the repositories of a registry. */
  async catalog(registry: string, options: Stoppable = {}): Promise<string[]> {
    return (await import('./registries.js')).catalog(await this.drivers(), registry, options);
  }

  /** Returns a manifest or index, byte for byte. */
  async manifestGet(ref: string, options: Stoppable = {}): Promise<RawManifest> {
    return (await import('./registries.js')).getManifest(await this.drivers(), ref, options);
  }

  /** Publishes a manifest or index, byte for byte. */
  async manifestPut(ref: string, bytes: Uint8Array, options: Stoppable = {}): Promise<Descriptor> {
    return (await import('./registries.js')).putManifest(await this.drivers(), ref, bytes, options);
  }

  /** Publishes an index (multi-platform image) of images at registries. */
  async manifestCreate(ref: string, images: readonly string[], options: IndexOptions = {}): Promise<MadeIndex> {
    return (await import('./registries.js')).makeIndex('manifestCreate', await this.drivers(), ref, images, {
      ...options,
      keepExisting: false,
    });
  }

  /** Adds images to an index at a registry, or replaces those of the same platform. */
  async manifestAdd(ref: string, images: readonly string[], options: IndexOptions = {}): Promise<MadeIndex> {
    return (await import('./registries.js')).makeIndex('manifestAdd', await this.drivers(), ref, images, {
      ...options,
      keepExisting: true,
    });
  }

  /** Removes a manifest with all its tags, or one tag, from a registry. */
  async delete(ref: string, options: DeleteRemoteOptions = {}): Promise<DeletedManifest> {
    return (await import('./registries.js')).deleteRemote(await this.drivers(), ref, options);
  }

  /** Writes a blob (`HOST/REPOSITORY@DIGEST`) to a path or a stream, verified. */
  async blobGet(ref: string, output: string | Writable, options: Stoppable = {}): Promise<void> {
    return (await import('./registries.js')).getBlob(await this.drivers(), ref, output, options);
  }

  /** Returns the size of a blob at a registry in bytes. Throws NotFoundError if the repository lacks it. */
  async blobHead(ref: string, options: Stoppable = {}): Promise<number> {
    return (await import('./registries.js')).blobSize(await this.drivers(), ref, options);
  }

  /** Lists the referrers of an image: signatures, SBOMs, attestations. */
  async referrers(ref: string, options: Stoppable = {}): Promise<readonly Descriptor[]> {
    return (await import('./registries.js')).listReferrers(await this.drivers(), ref, options);
  }

  /** Verifies a login at the registry, then saves it. */
  async login(registry: string, options: LoginOptions): Promise<LoginResult> {
    return (await import('./logins.js')).logIn(await this.drivers(), registry, options);
  }

  /** Removes the login of a registry. */
  async logout(
    registry: string,
    options: Stoppable = {},
  ): Promise<{ readonly host: string; readonly removed: readonly KeptLogin[] }> {
    return (await import('./logins.js')).logOut(await this.drivers(), registry, options);
  }

  /** Removes every login from the credentials files, and from the helpers that they name for single registries. */
  async logoutAll(
    options: Stoppable = {},
  ): Promise<{ readonly host: string; readonly removed: readonly KeptLogin[] }[]> {
    return (await import('./logins.js')).logOutOfAll(await this.drivers(), options);
  }

  /** Returns the username at a registry. Throws AuthenticationError without a login. */
  async getLogin(
    registry: string,
    options: Stoppable = {},
  ): Promise<{ readonly host: string; readonly username: string; readonly source: string }> {
    return (await import('./logins.js')).getLogin(await this.drivers(), registry, options);
  }

  /** Serves a directory or the images of the store as a registry. */
  async serve(options: ServeOptions = {}): Promise<ServedRegistry> {
    return (await import('./serve.js')).serve(await this.drivers(), options);
  }
}
