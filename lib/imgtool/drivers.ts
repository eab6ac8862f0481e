import type { CreateArchiveOptions, ImageArchive, ImageArchiveWriter, OpenArchiveOptions } from '../archive/index.js';
import type { CredentialLookup, CredentialStore, RegistryKey } from '../auth/index.js';
import { findCause, InvalidReferenceError, NotFoundError, systemErrorName, UsageError } from '../errors.js';
import type { CopyTransports, OperationDeps, OtherTransport, RegistryAccess } from '../operations/index.js';
import type { KnownHosts } from '../http/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { JobQueue, JobQueueOptions, JobWorker, JobWorkerOptions, Rate } from '../queue/index.js';
import type { RegistryClient } from '../registry/index.js';
import type { RegistryStorage, RunningServer, ServerOptions } from '../server/index.js';
import type { OpenStoreOptions, StoreRoot } from '../snapshot/index.js';
import type { ImageDestination, ImageSource } from '../spec/index.js';
import { sourceDateEpoch, spoolDirectory } from './common.js';
import { clientOptions } from './client-options.js';
import { lazyRegistry } from './lazy-registry.js';
import { localDrivers, type LocalDeps } from './local-drivers.js';
import { logLine } from './log-line.js';
import { namedLogin, splitCredentials, type NamedLogin } from './named-login.js';
import { DEFAULTS, type Settings } from './settings.js';

/** Constructs the drivers, each on first use: with `local-drivers.ts` and `client-options.ts` the only place that does. */
export class Drivers {
  readonly settings: Settings;
  readonly #note = (line: string): void => this.settings.progress.note(line);
  /** By what `remote` was asked for. */
  readonly #registries = new Map<string, Promise<RegistryClient>>();
  #credentials: Promise<CredentialStore> | undefined;
  /** What one client has learned about a host serves the others. */
  #knownHosts: KnownHosts | undefined;
  #shortNames: Promise<(name: string) => string> | undefined;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  /** Directory of the store. */
  get root(): string {
    return this.settings.root;
  }

  get progress(): ProgressSink {
    return this.settings.progress;
  }

  /** The records of the store, to be read; undefined when there is no store yet. Loads no native code when it is mounted. */
  async records(): Promise<Pick<OperationDeps, 'metadata'> | undefined> {
    const store = await this.#findStore();
    if (store === undefined) {
      const { root, rootOrigin } = this.settings;
      if (rootOrigin !== 'default') this.#note(`warning: there is no store at ${root} (--root from ${rootOrigin})`);
      return undefined;
    }
    const { createMetadataStore } = await import('../metadata/index.js');
    return { metadata: createMetadataStore({ root: store.root }) };
  }

  /** The local store, if there is one. */
  async localIfThere(): Promise<LocalDeps | undefined> {
    const store = await this.#findStore();
    return store === undefined ? undefined : this.#local(store);
  }

  /** The local store. Throws NotFoundError when there is none, StoreError. */
  async local(): Promise<LocalDeps> {
    return this.#local(await this.store());
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
   * Registries; nothing is sent before the first request. Each registry has the login of the user's files; `creds` takes its
   * place at the host that the call names (`named`) and nowhere else: not at mirrors, not at places from records.
   */
  async remote(named?: { readonly host: string }): Promise<Pick<OperationDeps, 'registry'>> {
    const key = JSON.stringify([named?.host]);
    return { registry: await this.#once(key, () => this.connect(this.#lookup(named?.host))) };
  }

  /** As `remote`, for operations that may never need a registry: the client is made when it is first used. */
  lazyRemote(named?: { readonly host: string }): Pick<OperationDeps, 'registry'> {
    return { registry: lazyRegistry(async () => (await this.remote(named)).registry) };
  }

  /** Registries reached in another way than all others; `creds` counts only as `access.login`. */
  registryFor(access: RegistryAccess): Promise<RegistryClient> {
    return this.#once(JSON.stringify(access), () => this.#connectFor(access));
  }

  /** A client that failed to start is not kept: the next call may find the settings mended. */
  #once(key: string, connect: () => Promise<RegistryClient>): Promise<RegistryClient> {
    let client = this.#registries.get(key);
    if (client === undefined) {
      client = connect();
      this.#registries.set(key, client);
      client.catch(() => this.#registries.delete(key));
    }
    return client;
  }

  async #connectFor(access: RegistryAccess): Promise<RegistryClient> {
    const { authfile, login, anonymous = false } = access;
    const { createCredentialStore } = await import('../auth/index.js');
    const store =
      authfile === undefined ? await this.credentials() : createCredentialStore({ env: this.settings.env, authfile });
    const find: CredentialLookup = async (host, request) => {
      if (anonymous) return undefined;
      if (login?.host !== host)
        return authfile === undefined ? this.#findLogin(host, request) : store.find(host, request);
      const { username, password, registryToken } = login;
      return { username, password, registryToken, source: 'the login given for this registry' };
    };
    return this.connect(find, { ...access, store });
  }

  /** A client that finds its logins so; closed by the caller. `access`: other settings than everywhere. */
  async connect(
    credentials: CredentialLookup,
    access: Pick<RegistryAccess, 'tlsVerify' | 'certDir'> & { readonly store?: CredentialStore } = {},
  ): Promise<RegistryClient> {
    const { createRegistryClient } = await import('../registry/index.js');
    const { KnownHosts } = await import('../http/index.js');
    this.#knownHosts ??= new KnownHosts();
    return createRegistryClient({
      ...(await clientOptions(this.settings, this.#knownHosts, access)),
      credentials,
      requestHeaders: async () => (access.store ?? (await this.credentials())).requestHeaders(),
    });
  }

  /** The logins of the user. */
  async credentials(): Promise<CredentialStore> {
    const { createCredentialStore } = await import('../auth/index.js');
    this.#credentials ??= Promise.resolve(
      createCredentialStore({ env: this.settings.env, authfile: this.settings.authfile }),
    );
    return this.#credentials;
  }

  /** The full name of a short one that this machine has an alias for; any other name as it is. Throws UsageError. */
  async fullName(name: string): Promise<string> {
    this.#shortNames ??= import('../hosts/index.js').then((hosts) =>
      hosts.shortNames(hosts.thisMachine(this.settings.env)),
    );
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
    return this.#local(await this.makeStore());
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
      signal,
      ...(options.dir === undefined ? { storage: await this.#storeStorage(signal) } : {}),
      ...(this.settings.debug ? { onRequest: (log) => this.#note(logLine(log)) } : {}),
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

  /** A registry, and what looks for files in the layers it has. */
  async layerSearch(named: { readonly host: string }) {
    const [{ searchLayer }, remote] = await Promise.all([import('../archive/index.js'), this.remote(named)]);
    return { ...remote, searchLayer };
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
      progress: this.progress,
      parallel: this.settings.parallel,
      temporaryDirectory: spoolDirectory(this.settings.env),
      recompressLayer: async (input) => (await import('../layer/index.js')).recompressLayer(input),
      openSource: (name, options) => this.#openSource(name, options),
      openDestination: (name, { signal }) => this.#openDestination(name, signal),
    };
  }

  /** The login of the setting `creds`: see `namedLogin`. */
  namedLogin(hosts: readonly string[], hint: string): NamedLogin | undefined {
    return namedLogin(this.settings, hosts, hint);
  }

  /** Connects to the queue to put jobs; the caller closes it. Throws UsageError, TransportError, AuthenticationError. */
  async jobQueue(options: Omit<JobQueueOptions, 'note'>): Promise<JobQueue> {
    const { JobQueue, parseQueueAddress } = await import('../queue/index.js');
    return JobQueue.open(parseQueueAddress(this.#queue()), { ...options, note: this.#note });
  }

  /** Connects to the queue to take jobs. Throws UsageError, TransportError, AuthenticationError. */
  async jobWorker(options: Omit<JobWorkerOptions, 'note' | 'parallel'>): Promise<JobWorker> {
    const { JobWorker, parseQueueAddress } = await import('../queue/index.js');
    const parallel = this.settings.parallel;
    return JobWorker.open(parseQueueAddress(this.#queue()), { ...options, parallel, note: this.#note });
  }

  /** Reads `5/s`, `100/6h`, `none`. Throws UsageError. */
  async rate(text: string): Promise<Rate | undefined> {
    return (await import('../queue/index.js')).parseRate(text);
  }

  /** Closes what was opened. */
  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.#registries.values());
    this.#registries.clear();
    for (const client of clients) if (client.status === 'fulfilled') await client.value.close();
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

  async #findStore(): Promise<StoreRoot | undefined> {
    try {
      return await this.store();
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  async #local(store: StoreRoot): Promise<LocalDeps> {
    return localDrivers(store, this.settings, (name) => this.fullName(name));
  }

  #lookup(named: string | undefined): CredentialLookup {
    const { creds } = this.settings;
    return async (asking, request) => {
      if (creds !== undefined && asking === named) return { ...splitCredentials(creds.text), source: '--creds' };
      return this.#findLogin(asking, request);
    };
  }

  async #findLogin(...asked: Parameters<CredentialLookup>): ReturnType<CredentialLookup> {
    return (this.settings.credentials ?? (await this.credentials()).find)(...asked);
  }

  #queue(): string {
    const { queue } = this.settings;
    if (queue !== undefined) return queue;
    throw new UsageError('no queue is set', { hint: 'give new Imgtool the option queue, such as redis://HOST' });
  }
}

type SourceOptions = Parameters<CopyTransports['openSource']>[1];

/** What transports write. */
const FORMATS = {
  oci: 'oci-dir',
  dir: 'docker-dir',
  'oci-archive': 'oci-archive',
  'docker-archive': 'docker-archive',
} as const;

function archiveName({ transport, path, tag }: Extract<OtherTransport, { readonly path: string }>): string {
  return `${transport}:${path}${tag === undefined ? '' : `:${tag}`}`;
}
