import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CreateArchiveOptions, ImageArchive, ImageArchiveWriter, OpenArchiveOptions } from '../archive/index.js';
import type { CredentialLookup, CredentialStore, RegistryKey } from '../auth/index.js';
import { findCause, InvalidReferenceError, NotFoundError, systemErrorName } from '../errors.js';
import type {
  CopyTransports,
  GarbageDeps,
  OperationDeps,
  OtherTransport,
  RegistryAccess,
} from '../operations/index.js';
import type { KnownHosts } from '../http/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { JobQueue, JobQueueOptions, JobWorker, JobWorkerOptions, Rate } from '../queue/index.js';
import type { RegistryClient, RegistryClientOptions } from '../registry/index.js';
import type { RegistryStorage, RequestLog, RunningServer, ServerOptions } from '../server/index.js';
import type { OpenStoreOptions, SnapshotOrigin, StoreRoot } from '../snapshot/index.js';
import type { ImageDestination, ImageSource } from '../spec/index.js';
import { DEFAULT_RESERVE_BYTES, sourceDateEpoch, spoolDirectory } from './commands/common-options.js';
import type { ConfigFile } from './config-file.js';
import { registrySetting } from './config-keys.js';
import { splitCredentials } from './creds.js';
import type { Options } from './options.js';

/** Parts that work on the local store. */
export type LocalDeps = Omit<OperationDeps, 'registry' | 'content'> & Pick<GarbageDeps, 'content'>;

/** Constructs the drivers, each on first use: the only place that does. Close it when the command has ended. */
export class Composition {
  readonly #options: Options;
  readonly #files: readonly ConfigFile[];
  readonly #progress: ProgressSink;
  readonly #note = (line: string): void => this.#progress.note(line);
  readonly #env: NodeJS.ProcessEnv;
  /** By what `remote` was asked for. */
  readonly #registries = new Map<string, Promise<RegistryClient>>();
  #credentials: Promise<CredentialStore> | undefined;
  /** What one client has learned about a host serves the others. */
  #knownHosts: KnownHosts | undefined;
  #shortNames: Promise<(name: string) => string> | undefined;

  constructor(
    options: Options,
    files: readonly ConfigFile[],
    progress: ProgressSink,
    env: NodeJS.ProcessEnv = process.env,
  ) {
    this.#options = options;
    this.#files = files;
    this.#progress = progress;
    this.#env = env;
  }

  /** Directory of the store. */
  get root(): string {
    return this.#options.text('root')!;
  }

  get #debugs(): boolean {
    return this.#options.text('log-level') === 'debug';
  }

  /** The records of the store, to be read; undefined when there is no store yet. Loads no native code when it is mounted. */
  async records(): Promise<Pick<OperationDeps, 'metadata'> | undefined> {
    const store = await this.#findStore();
    if (store === undefined) {
      const origin = this.#options.origin('root');
      if (origin !== 'default') this.#note(`warning: there is no store at ${this.root} (--root from ${origin})`);
      return undefined;
    }
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

  /** What to tell the user in place of `error` when the disk under the store is to blame. */
  async explained(error: unknown): Promise<unknown> {
    if (findCause(error, (cause) => ['EIO', 'EROFS'].includes(systemErrorName(cause) ?? '')) === undefined)
      return error;
    return (await import('../snapshot/index.js')).explainPool(this.root, error);
  }

  /** Makes the store when there is none. Throws StoreError, CommandError, DiskSpaceError. */
  async makeStore(options: Pick<OpenStoreOptions, 'size' | 'device'> = {}): Promise<StoreRoot> {
    const { openStore } = await import('../snapshot/index.js');
    return openStore(this.root, { create: true, onNote: this.#note, ...options });
  }

  /**
   * Registries; nothing is sent before the first request. Each registry has the login of the user's files; --creds takes its
   * place at the host that the user names (`named`) and nowhere else: not at mirrors, not at places from records.
   */
  async remote(named?: { readonly host: string }): Promise<Pick<OperationDeps, 'registry'>> {
    const key = JSON.stringify([named?.host]);
    let client = this.#registries.get(key);
    if (client === undefined) {
      client = this.connect(this.#lookup(named?.host));
      this.#registries.set(key, client);
    }
    return { registry: await client };
  }

  /** Registries reached in another way than all others; --creds counts only as `access.login`. */
  registryFor(access: RegistryAccess): Promise<RegistryClient> {
    const key = JSON.stringify(access);
    const client = this.#registries.get(key) ?? this.#connectFor(access);
    this.#registries.set(key, client);
    return client;
  }

  async #connectFor(access: RegistryAccess): Promise<RegistryClient> {
    const { authfile, login } = access;
    const { createCredentialStore } = await import('../auth/index.js');
    const store =
      authfile === undefined ? await this.credentials() : createCredentialStore({ env: this.#env, authfile });
    const find: CredentialLookup = async (host, request) => {
      if (login?.host !== host) return store.find(host, request);
      return { username: login.username, password: login.password, source: 'the login given for this registry' };
    };
    return this.connect(find, { ...access, store });
  }

  /** A client that finds its logins so; closed by the caller. `access`: other settings than everywhere. */
  async connect(
    credentials: CredentialLookup,
    access: Pick<RegistryAccess, 'tlsVerify' | 'certDir'> & { readonly store?: CredentialStore } = {},
  ): Promise<RegistryClient> {
    const { createRegistryClient } = await import('../registry/index.js');
    return createRegistryClient({
      ...(await this.#clientOptions(access)),
      credentials,
      requestHeaders: async () => (access.store ?? (await this.credentials())).requestHeaders(),
    });
  }

  /** The logins of the user. */
  async credentials(): Promise<CredentialStore> {
    const { createCredentialStore } = await import('../auth/index.js');
    this.#credentials ??= Promise.resolve(
      createCredentialStore({ env: this.#env, authfile: this.#options.text('authfile') }),
    );
    return this.#credentials;
  }

  /** The full name of a short one that this machine has an alias for; any other name as it is. Throws UsageError. */
  async fullName(name: string): Promise<string> {
    this.#shortNames ??= import('../hosts/index.js').then((hosts) => hosts.shortNames(hosts.thisMachine(this.#env)));
    return (await this.#shortNames)(name);
  }

  /** Reads HOST or HOST/PATH. Throws InvalidReferenceError. */
  async registryKey(text: string): Promise<RegistryKey> {
    const [{ parseRegistryKey }, { parseReference }] = await Promise.all([
      import('../auth/index.js'),
      import('../spec/index.js'),
    ]);
    const key = parseRegistryKey(text);
    const reference = `${key.host}/${key.path || 'x'}`;
    if (parseReference(reference).host === key.host) return key;
    throw new InvalidReferenceError(`${JSON.stringify(text.slice(0, 300))} is not the name of a registry`, {
      input: text,
      hint: 'write HOST[:PORT]; a name without a dot, other than localhost, is one of Docker Hub',
    });
  }

  /** Everything a pull needs; `named` as for `remote`. */
  async all(named: { readonly host: string }): Promise<OperationDeps> {
    const [unpacking, remote] = await Promise.all([this.unpacking(), this.remote(named)]);
    return { ...unpacking, ...remote };
  }

  /** The local store, made when there is none, and what unpacks layers into it. */
  async unpacking(): Promise<Omit<OperationDeps, 'registry'>> {
    return this.#drivers(await this.makeStore());
  }

  /** The boot this machine is in. */
  async bootId(): Promise<string> {
    return (await import('../metadata/index.js')).currentBootId();
  }

  /** Starts the embedded registry, on a directory or (without `dir`) on the images of the store; `signal`: see StoreStorageOptions. */
  async server({
    signal,
    ...options
  }: Pick<ServerOptions, 'dir' | 'listen' | 'readOnly' | 'v1Tokens'> & {
    readonly signal: AbortSignal;
  }): Promise<RunningServer> {
    const { startRegistryServer } = await import('../server/index.js');
    return startRegistryServer({
      ...options,
      ...(options.dir === undefined ? { storage: await this.#storeStorage(signal) } : {}),
      ...(this.#debugs ? { onRequest: (log) => this.#note(logLine(log)) } : {}),
    });
  }

  /** Opens an archive of images; the caller closes it. */
  async openArchive(options: OpenArchiveOptions): Promise<ImageArchive> {
    return (await import('../archive/index.js')).openImageArchive(options);
  }

  /** Begins an archive of images; the caller finishes or discards it. */
  async createArchive(options: CreateArchiveOptions): Promise<ImageArchiveWriter> {
    return (await import('../archive/index.js')).createImageArchive(options);
  }

  /** What images are copied between; a store is opened only when it is one end. `sides`: reached in ways of their own. */
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
      progress: this.#progress,
      parallel: this.#options.number('parallel')!,
      temporaryDirectory: spoolDirectory(),
      recompressLayer: async (input) => (await import('../layer/index.js')).recompressLayer(input),
      openSource: (name, { signal }) => this.#openSource(name, signal),
      openDestination: (name, { signal }) => this.#openDestination(name, signal),
    };
  }

  /** Connects to the queue of --queue to put jobs; the caller closes it. Throws UsageError, TransportError, AuthenticationError. */
  async jobQueue(options: Omit<JobQueueOptions, 'note'>): Promise<JobQueue> {
    const { JobQueue, parseQueueAddress } = await import('../queue/index.js');
    return JobQueue.open(parseQueueAddress(this.#options.text('queue')!), { ...options, note: this.#note });
  }

  /** Connects to the queue of --queue to take jobs. Throws UsageError, TransportError, AuthenticationError. */
  async jobWorker(options: Omit<JobWorkerOptions, 'note' | 'parallel'>): Promise<JobWorker> {
    const { JobWorker, parseQueueAddress } = await import('../queue/index.js');
    const parallel = this.#options.number('parallel')!;
    return JobWorker.open(parseQueueAddress(this.#options.text('queue')!), { ...options, parallel, note: this.#note });
  }

  /** Reads `5/s`, `100/6h`, `none`. Throws UsageError. */
  async rate(text: string): Promise<Rate | undefined> {
    return (await import('../queue/index.js')).parseRate(text);
  }

  /** Closes what was opened. */
  async close(): Promise<void> {
    for (const client of this.#registries.values()) await (await client).close();
  }

  async #openSource(name: OtherTransport, signal: AbortSignal): Promise<ImageSource> {
    if (name.transport === 'store') {
      const [{ openStoreSource }, local] = await Promise.all([import('../operations/index.js'), this.local()]);
      const registry = async (): Promise<RegistryClient> => (await this.remote()).registry;
      return openStoreSource({ ...local, registry }, name.name, { signal });
    }
    const { openArchiveSource } = await import('../archive/index.js');
    return openArchiveSource({
      name: archiveName(name),
      path: name.path,
      temporaryDirectory: spoolDirectory(),
      signal,
    });
  }

  async #openDestination(name: OtherTransport, signal: AbortSignal): Promise<ImageDestination> {
    if (name.transport === 'store') {
      const [{ openStoreDestination }, deps, bootId] = await Promise.all([
        import('../operations/index.js'),
        this.unpacking(),
        this.bootId(),
      ]);
      return openStoreDestination(deps, name.name, { reserveBytes: DEFAULT_RESERVE_BYTES, bootId, signal });
    }
    const { openArchiveDestination } = await import('../archive/index.js');
    const format = name.transport === 'oci' ? 'oci-dir' : name.transport;
    const { path, tag } = name;
    return openArchiveDestination({ name: archiveName(name), format, path, tag, mtime: sourceDateEpoch(), signal });
  }

  async #storeStorage(signal: AbortSignal): Promise<RegistryStorage> {
    const [{ openStoreStorage }, local] = await Promise.all([import('../operations/index.js'), this.local()]);
    return openStoreStorage(local, { reserveBytes: DEFAULT_RESERVE_BYTES, signal });
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
    const [{ createContentStore }, { createMetadataStore, currentBootId }, { createSnapshotter }] = await Promise.all([
      import('../content/index.js'),
      import('../metadata/index.js'),
      import('../snapshot/index.js'),
    ]);
    const metadata = createMetadataStore({
      root,
      bootId: await currentBootId(),
      onWait: (path) => this.#note(`waiting for another process that holds the lock ${path}`),
    });
    const isLocked = async (name: string): Promise<boolean> => {
      const lock = await metadata.tryLock(name, 'exclusive');
      lock?.release();
      return lock === undefined;
    };
    const recordedOrigins = async (): Promise<SnapshotOrigin[]> =>
      (await metadata.layers.list()).flatMap(({ origin }) => origin ?? []);
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
      compareTrees: async (input) => (await import('../snapshot/index.js')).changes({ ...input, recordedOrigins }),
      trees: {
        copyPath: async (input) => (await import('../rootfs/index.js')).copyPath(input),
        locatePath: async (place, how) => (await import('../rootfs/index.js')).locatePath(place, how),
      },
      runtime: this.#runtime(root),
      packLayer: async (input) => (await import('../layer/index.js')).packLayer(input),
      packTree: async (input) => (await import('../layer/index.js')).packTree(input),
      recompressLayer: async (input) => (await import('../layer/index.js')).recompressLayer(input),
      progress: this.#progress,
      fullName: (name) => this.fullName(name),
    };
  }

  /** Loaded when it is used. */
  #runtime(root: string): OperationDeps['runtime'] {
    const directory = join(root, 'run');
    const load = async (): Promise<OperationDeps['runtime']> => {
      const { createContainerRuntime } = await import('../runtime/index.js');
      return createContainerRuntime({ directory, onNote: this.#note });
    };
    return {
      begin: async (...args) => (await load()).begin(...args),
      run: async (...args) => (await load()).run(...args),
      settle: async (...args) => (await load()).settle(...args),
      // Most stores have never run a command.
      list: async () => (existsSync(directory) ? (await load()).list() : []),
      mountPoints: async (id) => (existsSync(join(directory, id)) ? (await load()).mountPoints(id) : undefined),
      removeMountPoints: async (...args) => (await load()).removeMountPoints(...args),
    };
  }

  #lookup(named: string | undefined): CredentialLookup {
    const creds = this.#options.text('creds');
    return async (asking, request) => {
      if (creds !== undefined && asking === named) return { ...splitCredentials(creds), source: '--creds' };
      return (await this.credentials()).find(asking, request);
    };
  }

  async #clientOptions({
    tlsVerify,
    certDir,
  }: Pick<RegistryAccess, 'tlsVerify' | 'certDir'>): Promise<RegistryClientOptions> {
    const { hostCertificates, proxyFor, registrySources, runtimeDirectory, thisMachine } =
      await import('../hosts/index.js');
    this.#knownHosts ??= new (await import('../http/index.js')).KnownHosts();
    const machine = thisMachine(this.#env);
    const sources = await registrySources(machine);
    const options = this.#options;
    const limitRate = options.number('limit-rate');
    const connections = options.number('connections');
    const timeoutMs = options.number('timeout')! * 1000;
    const verifyAll = tlsVerify ?? options.flag('tls-verify');
    return {
      parallel: options.number('parallel')!,
      retries: options.number('retry')!,
      knownHosts: this.#knownHosts,
      timeouts: { connectMs: Math.min(timeoutMs, 15_000), responseMs: timeoutMs, stallMs: timeoutMs },
      limitsDirectory: runtimeDirectory(machine),
      ...(limitRate === undefined ? {} : { limitRate }),
      ...(connections === undefined ? {} : { connections }),
      tokenService: (host) => registrySetting(this.#files, host, 'token-service'),
      tls: hostCertificates(machine, certDir ?? options.text('cert-dir')),
      proxy: proxyFor(machine),
      sources: sources.of,
      checkPlace: sources.check,
      warn: this.#note,
      registryVersion: options.text('registry-version') as NonNullable<RegistryClientOptions['registryVersion']>,
      tlsVerify: (host) => verifyAll && (registrySetting(this.#files, host, 'tls-verify') ?? !sources.insecure(host)),
      ...(this.#debugs ? { log: (line) => this.#progress.note(line) } : {}),
    };
  }
}

function archiveName({ transport, path, tag }: Extract<OtherTransport, { readonly path: string }>): string {
  return `${transport}:${path}${tag === undefined ? '' : `:${tag}`}`;
}

/** One answered request, for people. */
function logLine({
  remote,
  method,
  url,
  status,
  bytesReceived,
  bytesSent,
  durationMs,
  complete,
  error,
}: RequestLog): string {
  const outcome = complete ? '' : ', cut off';
  const cause = error === undefined ? '' : `: ${error instanceof Error ? error.message : 'unknown'}`;
  return `${remote} ${method} ${url} ${status}, ${bytesReceived} B in, ${bytesSent} B out, ${durationMs.toFixed(0)} ms${outcome}${cause}`;
}
