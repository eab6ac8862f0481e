import type { CreateArchiveOptions, ImageArchive, ImageArchiveWriter, OpenArchiveOptions } from '../archive/index.js';
import { findCause, systemErrorName, UsageError } from '../errors.js';
import type { CopyTransports, OperationDeps, OtherTransport, RegistryAccess } from '../operations/index.js';
import type { JobQueue, JobQueueOptions, JobWorker, JobWorkerOptions, Rate } from '../queue/index.js';
import type { RegistryClient } from '../registry/index.js';
import type { RegistryStorage, RunningServer, ServerOptions } from '../server/index.js';
import { findStore, openStore, type OpenStoreOptions, type StoreRoot } from '../snapshot/index.js';
import type { ImageDestination, ImageSource } from '../spec/index.js';
import { ifFound } from '../util/index.js';
import { sourceDateEpoch, spoolDirectory } from './common.js';
import { DEFAULTS } from './defaults.js';
import type { LocalDeps } from './local-drivers.js';
import { logLine } from './log-line.js';
import { RegistryDrivers } from './registry-drivers.js';

/** Constructs the drivers, each on first use. Only this file, `registry-drivers.ts` and their imports do so. */
export class Drivers extends RegistryDrivers {
  readonly #note = (line: string): void => this.settings.progress.note(line);

  /** The records of the store, read-only; undefined if there is no store yet. Loads no native code if the store is mounted. */
  async records(): Promise<Pick<OperationDeps, 'metadata'> | undefined> {
    const store = await ifFound(this.store());
    if (store === undefined) {
      const { root, rootOrigin } = this.settings;
      if (rootOrigin !== 'default') this.#note(`warning: there is no store at ${root} (--root from ${rootOrigin})`);
      return undefined;
    }
    const { createMetadataStore } = await import('../metadata/index.js');
    return { metadata: createMetadataStore({ root: store.root }) };
  }

  /** The local store, or undefined if there is none. */
  async localIfThere(): Promise<LocalDeps | undefined> {
    const store = await ifFound(this.store());
    return store === undefined ? undefined : this.#local(store);
  }

  /** The local store. Throws NotFoundError when there is none, StoreError. */
  async local(): Promise<LocalDeps> {
    return this.#local(await this.store());
  }

  /** Location of the store and of its pool. Throws NotFoundError when there is none, StoreError. */
  async store(): Promise<StoreRoot> {
    return findStore(this.root, { onNote: this.#note, signal: this.settings.signal });
  }

  /** Replaces `error` with a clearer one if the disk under the store caused it. */
  async explained(error: unknown): Promise<unknown> {
    if (findCause(error, (cause) => ['EIO', 'EROFS'].includes(systemErrorName(cause) ?? '')) === undefined)
      return error;
    return (await import('../snapshot/index.js')).explainPool(this.root, error);
  }

  /** Creates the store if there is none. Throws StoreError, CommandError, DiskSpaceError. */
  async makeStore(options: Pick<OpenStoreOptions, 'size' | 'device'> = {}): Promise<StoreRoot> {
    return openStore(this.root, { create: true, onNote: this.#note, signal: this.settings.signal, ...options });
  }

  /** The drivers of a pull; `named` as in `remote`. */
  async all(named: { readonly host: string }): Promise<OperationDeps> {
    const [unpacking, remote] = await Promise.all([this.unpacking(), this.remote(named)]);
    return { ...unpacking, ...remote };
  }

  /** The drivers that unpack layers into the local store, which is created if missing. */
  async unpacking(): Promise<Omit<OperationDeps, 'registry'>> {
    return this.#local(await this.makeStore());
  }

  /** Starts the embedded registry on a directory or, without `dir`, on the images of the store; `signal`: see StoreStorageOptions. */
  async server({
    signal,
    ...options
  }: Pick<ServerOptions, 'dir' | 'listen' | 'readOnly' | 'v1Tokens'> & {
    readonly signal: AbortSignal;
  }): Promise<RunningServer> {
    const { startRegistryServer } = await import('../server/index.js');
    return startRegistryServer({
      ...options,
      signal,
      ...(options.dir === undefined ? { storage: await this.#storeStorage(signal) } : {}),
      ...(this.settings.debug ? { onRequest: (log) => this.#note(logLine(log)) } : {}),
    });
  }

  /** Opens an archive of images; the caller closes it. */
  async openArchive(options: OpenArchiveOptions): Promise<ImageArchive> {
    return (await import('../archive/index.js')).openImageArchive(options);
  }

  /** Creates an archive of images; the caller finishes or discards it. */
  async createArchive(options: CreateArchiveOptions): Promise<ImageArchiveWriter> {
    return (await import('../archive/index.js')).createImageArchive(options);
  }

  /** A registry, and the search for files in its layers. */
  async layerSearch(named: { readonly host: string }) {
    const [{ searchLayer }, remote] = await Promise.all([import('../archive/index.js'), this.remote(named)]);
    return { ...remote, searchLayer };
  }

  /** Transports for copying images; the store is opened only if it is one end. `sides`: settings for each side's access. */
  async transports(
    sides: {
      readonly source?: RegistryAccess | undefined;
      readonly target?: RegistryAccess | undefined;
    } = {},
  ): Promise<CopyTransports> {
    const open = async (access: RegistryAccess | undefined): Promise<RegistryClient> =>
      access === undefined ? (await this.remote()).registry : this.registryFor(access);
    const sourceRegistry = await open(sides.source);
    return {
      sourceRegistry,
      registry: await open(sides.target),
      progress: this.progress,
      parallel: this.settings.parallel,
      temporaryDirectory: spoolDirectory(this.settings.env),
      recompressLayer: async (input) => (await import('../layer/index.js')).recompressLayer(input),
      openSource: (name, options) => this.#openSource(name, options),
      openDestination: (name, { signal }) => this.#openDestination(name, signal),
    };
  }

  /** Connects to the queue for adding jobs; the caller closes it. Throws UsageError, TransportError, AuthenticationError. */
  async jobQueue(options: Omit<JobQueueOptions, 'note'>): Promise<JobQueue> {
    const { JobQueue, parseQueueAddress } = await import('../queue/index.js');
    return JobQueue.open(parseQueueAddress(this.#queue()), { ...options, note: this.#note });
  }

  /** Connects to the queue for processing jobs. Throws UsageError, TransportError, AuthenticationError. */
  async jobWorker(options: Omit<JobWorkerOptions, 'note' | 'parallel'>): Promise<JobWorker> {
    const { JobWorker, parseQueueAddress } = await import('../queue/index.js');
    const parallel = this.settings.parallel;
    return JobWorker.open(parseQueueAddress(this.#queue()), { ...options, parallel, note: this.#note });
  }

  /** Parses `5/s`, `100/6h` or `none`. Throws UsageError. */
  async rate(text: string): Promise<Rate | undefined> {
    return (await import('../queue/index.js')).parseRate(text);
  }

  async #openSource(name: OtherTransport, options: SourceOptions): Promise<ImageSource> {
    if (name.transport === 'store') {
      const [{ openStoreSource }, local] = await Promise.all([import('../operations/copy/index.js'), this.local()]);
      return openStoreSource({ ...local, ...this.lazyRemote() }, name.name, options);
    }
    const { openArchiveSource } = await import('../archive/index.js');
    return openArchiveSource({
      name: archiveName(name),
      path: name.path,
      temporaryDirectory: spoolDirectory(this.settings.env),
      signal: options.signal,
    });
  }

  async #openDestination(name: OtherTransport, signal: AbortSignal): Promise<ImageDestination> {
    if (name.transport === 'store') {
      const [{ openStoreDestination }, deps] = await Promise.all([
        import('../operations/copy/index.js'),
        this.unpacking(),
      ]);
      return openStoreDestination(deps, name.name, { reserveBytes: DEFAULTS.reserve, signal });
    }
    const { openArchiveDestination } = await import('../archive/index.js');
    const format = FORMATS[name.transport];
    const { path, tag } = name;
    return openArchiveDestination({
      name: archiveName(name),
      format,
      path,
      tag,
      mtime: sourceDateEpoch(this.settings.env),
      signal,
    });
  }

  async #storeStorage(signal: AbortSignal): Promise<RegistryStorage> {
    const [{ openStoreStorage }, local] = await Promise.all([import('../operations/serve/index.js'), this.local()]);
    return openStoreStorage(local, { reserveBytes: DEFAULTS.reserve, signal });
  }

  async #local(store: StoreRoot): Promise<LocalDeps> {
    const { localDrivers } = await import('./local-drivers.js');
    return localDrivers(store, this.settings, (name) => this.fullName(name));
  }

  #queue(): string {
    const { queue } = this.settings;
    if (queue !== undefined) return queue;
    throw new UsageError('no queue is set', { hint: 'give new Imgtool the option queue, such as redis://HOST' });
  }
}

type SourceOptions = Parameters<CopyTransports['openSource']>[1];

/** Formats that transports write. */
const FORMATS = {
  oci: 'oci-dir',
  dir: 'docker-dir',
  'oci-archive': 'oci-archive',
  'docker-archive': 'docker-archive',
} as const;

function archiveName({ transport, path, tag }: Extract<OtherTransport, { readonly path: string }>): string {
  return `${transport}:${path}${tag === undefined ? '' : `:${tag}`}`;
}
