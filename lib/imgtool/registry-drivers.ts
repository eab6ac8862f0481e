import type { CredentialLookup, CredentialStore, RegistryKey } from '../auth/index.js';
import { InvalidReferenceError } from '../errors.js';
import type { KnownHosts } from '../http/index.js';
import type { OperationDeps, RegistryAccess } from '../operations/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { RegistryClient } from '../registry/index.js';
import { parseReference } from '../spec/index.js';
import { lazyRegistry } from './lazy-registry.js';
import { namedLogin, type NamedLogin } from './named-login.js';
import type { Settings } from './settings.js';
import { splitCredentials } from './split-credentials.js';

/** Constructs the registry clients, each on first use. */
export abstract class RegistryDrivers {
  readonly settings: Settings;
  /** By the arguments of `remote`. */
  readonly #registries = new Map<string, Promise<RegistryClient>>();
  #credentials: Promise<CredentialStore> | undefined;
  /** Facts about hosts, shared by all clients. */
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

  /**
   * Registry clients; nothing is sent before the first request. Each registry uses the login of the user's files.
   * `creds` replaces it only at the host that the call names (`named`), not at mirrors or locations from records.
   */
  async remote(named?: { readonly host: string }): Promise<Pick<OperationDeps, 'registry'>> {
    const key = JSON.stringify([named?.host]);
    return { registry: await this.#once(key, () => this.connect(this.#lookup(named?.host))) };
  }

  /** Like `remote`, for operations that may need no registry: the client is created on first use. */
  lazyRemote(named?: { readonly host: string }): Pick<OperationDeps, 'registry'> {
    return { registry: lazyRegistry(async () => (await this.remote(named)).registry) };
  }

  /** A client with other access settings; `creds` applies only as `access.login`. */
  registryFor(access: RegistryAccess): Promise<RegistryClient> {
    return this.#once(JSON.stringify(access), () => this.#connectFor(access));
  }

  /** Does not cache a client that failed to start, so that corrected settings take effect. */
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

  /** Creates a client with this source of logins; the caller closes it. `access`: settings that differ from the usual. */
  async connect(
    credentials: CredentialLookup,
    access: Pick<RegistryAccess, 'tlsVerify' | 'certDir'> & { readonly store?: CredentialStore } = {},
  ): Promise<RegistryClient> {
    const { createRegistryClient } = await import('../registry/index.js');
    const { KnownHosts } = await import('../http/index.js');
    const { clientOptions } = await import('./client-options.js');
    this.#knownHosts ??= new KnownHosts();
    return createRegistryClient({
      ...(await clientOptions(this.settings, this.#knownHosts, access)),
      credentials,
      requestHeaders: async () => (access.store ?? (await this.credentials())).requestHeaders(),
    });
  }

  /** The user's logins. */
  async credentials(): Promise<CredentialStore> {
    const { createCredentialStore } = await import('../auth/index.js');
    this.#credentials ??= Promise.resolve(
      createCredentialStore({ env: this.settings.env, authfile: this.settings.authfile }),
    );
    return this.#credentials;
  }

  /** Expands a short name for which this machine has an alias; returns other names unchanged. Throws UsageError. */
  async fullName(name: string): Promise<string> {
    this.#shortNames ??= import('../hosts/index.js').then((hosts) =>
      hosts.shortNames(hosts.thisMachine(this.settings.env)),
    );
    return (await this.#shortNames)(name);
  }

  /** Parses HOST or HOST/PATH. Throws InvalidReferenceError. */
  async registryKey(text: string): Promise<RegistryKey> {
    const { parseRegistryKey } = await import('../auth/index.js');
    const key = parseRegistryKey(text);
    const reference = `${key.host}/${key.path || 'x'}`;
    if (parseReference(reference).host === key.host) return key;
    throw new InvalidReferenceError(`${JSON.stringify(text.slice(0, 300))} is not the name of a registry`, {
      input: text,
      hint: 'write HOST[:PORT]; a name without a dot, other than localhost, is one of Docker Hub',
    });
  }

  /** The login of the setting `creds`: see `namedLogin`. */
  namedLogin(hosts: readonly string[], hint: string): NamedLogin | undefined {
    return namedLogin(this.settings, hosts, hint);
  }

  /** Closes all opened drivers. */
  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.#registries.values());
    this.#registries.clear();
    for (const client of clients) if (client.status === 'fulfilled') await client.value.close();
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
}
