import { NotFoundError, UsageError } from '../errors.js';
import type { CreateArchiveOptions, ImageArchive, ImageArchiveWriter, OpenArchiveOptions } from '../archive/index.js';
import type { OperationDeps, RestoreDeps } from '../operations/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { RegistryClient } from '../registry/index.js';
import type { RunningServer, ServerOptions } from '../server/index.js';
import type { OpenStoreOptions, StoreRoot } from '../snapshot/index.js';
import type { ConfigFile } from './config-file.js';
import { readCertificates } from './certificates.js';
import { registrySetting } from './config-keys.js';
import type { Options } from './options.js';

/** Parts that work on the local store. */
export type LocalDeps = Omit<OperationDeps, 'registry' | 'createApplier'> & Pick<RestoreDeps, 'createApplier'>;

/** Constructs the drivers, each on first use: the only place that does. Close it when the command has ended. */
export class Composition {
  readonly #options: Options;
  readonly #files: readonly ConfigFile[];
  readonly #progress: ProgressSink;
  readonly #note = (line: string): void => this.#progress.note(line);
  #registry: RegistryClient | undefined;

  constructor(options: Options, files: readonly ConfigFile[], progress: ProgressSink) {
    this.#options = options;
    this.#files = files;
    this.#progress = progress;
  }

  /** Directory of the store. */
  get root(): string {
    return this.#options.text('root')!;
  }

  /** The records of the store, to be read; undefined when there is no store yet. Loads no native code when it is mounted. */
  async records(): Promise<Pick<OperationDeps, 'metadata'> | undefined> {
    const store = await this.#findStore();
    if (store === undefined) return undefined;
    const { createMetadataStore } = await import('../metadata/index.js');
    return { metadata: createMetadataStore({ root: store.root }) };
  }

  /** The local store, if there is one. */
  async localIfThere(): Promise<LocalDeps | undefined> {
    const store = await this.#findStore();
    return store === undefined ? undefined : this.#drivers(store);
  }

  /** The local store. Throws NotFoundError when there is none, StoreError. */
  async local(): Promise<LocalDeps> {
    return this.#drivers(await this.store());
  }

  /** Where the store is and what carries it. Throws NotFoundError when there is none, StoreError. */
  async store(): Promise<StoreRoot> {
    const { findStore } = await import('../snapshot/index.js');
    return findStore(this.root, { onNote: this.#note });
  }

  /** Makes the store when there is none. Throws StoreError, CommandError, DiskSpaceError. */
  async makeStore(options: Pick<OpenStoreOptions, 'size' | 'device'> = {}): Promise<StoreRoot> {
    const { openStore } = await import('../snapshot/index.js');
    return openStore(this.root, { create: true, onNote: this.#note, ...options });
  }

  /** Registries; nothing is sent before the first request. */
  async remote(): Promise<Pick<OperationDeps, 'registry'>> {
    this.#registry ??= await this.#client();
    return { registry: this.#registry };
  }

  /** Everything a pull needs. */
  async all(): Promise<OperationDeps> {
    const [unpacking, remote] = await Promise.all([this.unpacking(), this.remote()]);
    return { ...unpacking, ...remote };
  }

  /** The local store, made when there is none, and what unpacks layers into it. */
  async unpacking(): Promise<Omit<OperationDeps, 'registry'>> {
    const [local, { createLayerApplier }] = await Promise.all([
      this.makeStore().then((store) => this.#drivers(store)),
      import('../layer/index.js'),
    ]);
    return { ...local, createApplier: () => createLayerApplier() };
  }

  /** The boot this machine is in. */
  async bootId(): Promise<string> {
    return (await import('../metadata/index.js')).currentBootId();
  }

  /** Starts the embedded registry. */
  async server(options: Pick<ServerOptions, 'dir' | 'listen' | 'readOnly'>): Promise<RunningServer> {
    const { startRegistryServer } = await import('../server/index.js');
    return startRegistryServer(options);
  }

  /** Opens an archive of images; the caller closes it. */
  async openArchive(options: OpenArchiveOptions): Promise<ImageArchive> {
    return (await import('../archive/index.js')).openImageArchive(options);
  }

  /** Begins an archive of images; the caller finishes or discards it. */
  async createArchive(options: CreateArchiveOptions): Promise<ImageArchiveWriter> {
    return (await import('../archive/index.js')).createImageArchive(options);
  }

  /** Closes what was opened. */
  async close(): Promise<void> {
    await this.#registry?.close();
  }

  async #findStore(): Promise<StoreRoot | undefined> {
    try {
      return await this.store();
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  async #drivers({ root, pool }: StoreRoot): Promise<LocalDeps> {
    const [{ createContentStore }, { createMetadataStore }, { createSnapshotter }] = await Promise.all([
      import('../content/index.js'),
      import('../metadata/index.js'),
      import('../snapshot/index.js'),
    ]);
    const metadata = createMetadataStore({ root });
    const isLocked = async (name: string): Promise<boolean> => {
      const lock = await metadata.tryLock(name, 'exclusive');
      lock?.release();
      return lock === undefined;
    };
    return {
      content: createContentStore({ root }),
      metadata,
      snapshots: createSnapshotter({
        root,
        ...(pool !== undefined && 'file' in pool ? { poolFile: pool.file } : {}),
        isAlive: (key) => isLocked(`work-${key}`),
        isContainer: async (id) =>
          (await isLocked(`container-${id}`)) || (await metadata.containers.get(id)) !== undefined,
      }),
      createApplier: async () => (await import('../layer/index.js')).createLayerApplier(),
      compareTrees: async (input) => (await import('../snapshot/index.js')).changes(input),
      trees: {
        copyPath: async (input) => (await import('../rootfs/index.js')).copyPath(input),
        locatePath: async (place, how) => (await import('../rootfs/index.js')).locatePath(place, how),
      },
      packLayer: async (input) => (await import('../layer/index.js')).packLayer(input),
      recompressLayer: async (input) => (await import('../layer/index.js')).recompressLayer(input),
      progress: this.#progress,
    };
  }

  async #client(): Promise<RegistryClient> {
    const { createRegistryClient } = await import('../registry/index.js');
    const options = this.#options;
    refuseUnsupported(options);
    const certDir = options.text('cert-dir');
    const tls = certDir === undefined ? undefined : readCertificates(certDir);
    const limitRate = options.number('limit-rate');
    const timeoutMs = options.number('timeout')! * 1000;
    const creds = options.text('creds');
    const verifyAll = options.flag('tls-verify');
    return createRegistryClient({
      parallel: options.number('parallel')!,
      retries: options.number('retry')!,
      timeouts: { connectMs: Math.min(timeoutMs, 15_000), responseMs: timeoutMs, stallMs: timeoutMs },
      ...(limitRate === undefined ? {} : { limitRate }),
      ...(tls === undefined ? {} : { tls: () => tls }),
      tlsVerify: (host) => verifyAll && (registrySetting(this.#files, host, 'tls-verify') ?? true),
      ...(creds === undefined ? {} : { credentials: () => Promise.resolve(splitCredentials(creds)) }),
      ...(options.text('log-level') === 'debug' ? { log: (line) => this.#progress.note(line) } : {}),
    });
  }
}

function splitCredentials(text: string): { username: string; password: string; source: string } {
  const colon = text.indexOf(':');
  return colon < 0
    ? { username: text, password: '', source: '--creds' }
    : { username: text.slice(0, colon), password: text.slice(colon + 1), source: '--creds' };
}

/** A flag that would do nothing is an error, not a silence. */
function refuseUnsupported(options: Options): void {
  const version = options.text('registry-version');
  if (version === '1') {
    throw new UsageError('registry protocol v1 is not supported', { hint: 'leave out --registry-version' });
  }
  if (options.text('authfile') !== undefined) {
    throw new UsageError('--authfile is not supported', { hint: 'give credentials with --creds' });
  }
}
