/** User name and password (or a token instead) for one registry. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** A refresh token, which replaces the password for fetching bearer tokens (distribution "token/oauth"). */
  readonly identityToken?: string | undefined;
  /** A bearer token to send unchanged. */
  readonly registryToken?: string | undefined;
  /** Set during a login: the token service is also asked for a refresh token, which is passed to this function. */
  readonly onRefreshToken?: ((token: string) => void) | undefined;
  /** The origin of the credentials, for messages: `--creds`, a file, a helper. Never their value. */
  readonly source: string;
}

/** Finds the credentials for `host[:port]` as the user wrote it, or undefined. Throws AuthenticationError, AbortError. */
export type CredentialLookup = (
  host: string,
  request: { readonly repository?: string | undefined; readonly signal: AbortSignal },
) => Promise<Credentials | undefined>;

/** The key of a login: a registry, or a prefix of repository names there. */
export interface RegistryKey {
  /** `host[:port]` in lower case; `docker.io` for all names of Docker Hub. May contain `*` as a label. */
  readonly host: string;
  /** A repository, or a prefix of one up to a slash; empty for the whole registry. */
  readonly path: string;
}

/** A login to store. */
export interface Login {
  readonly username: string;
  readonly password: string;
  /** Stored instead of the password. */
  readonly identityToken?: string | undefined;
}

/** A place where a login was stored or removed. */
export interface KeptLogin {
  /** The credentials file. */
  readonly file: string;
  /** The program that keeps the secret; undefined when it is in the file itself. */
  readonly helper?: string | undefined;
}

/** The logins of this user: files in the format of Docker's config.json, and the helpers they name. */
export interface CredentialStore {
  /** Finds the login with the most specific key; among equals, the one in the first file. */
  readonly find: CredentialLookup;
  /** The registries with logins in the files, without those in a helper for all hosts. Throws AuthenticationError, UsageError. */
  hosts(): Promise<readonly string[]>;
  /** The headers configured for every request to a registry. Throws AuthenticationError, UsageError. */
  requestHeaders(): Promise<Readonly<Record<string, string>>>;
  /** Stores a login under `key`. Throws AuthenticationError when the helper fails, UsageError when the file cannot be written. */
  save(key: RegistryKey, login: Login, options: { readonly signal: AbortSignal }): Promise<KeptLogin>;
  /** The keys of all logins in the files, including those in helpers. Throws AuthenticationError for an unreadable file. */
  keys(): Promise<readonly RegistryKey[]>;
  /** Removes the login with exactly this `key` from all files. Throws the errors of `save`. */
  remove(key: RegistryKey, options: { readonly signal: AbortSignal }): Promise<readonly KeptLogin[]>;
}

/** The access that a request requires: the scope of a bearer token (distribution "token/scope"). */
export interface AuthScope {
  /** `host[:port]` as the user wrote it, which is the key of the credentials. */
  readonly host: string;
  /** Undefined for requests about the registry itself. */
  readonly repository?: string | undefined;
  readonly actions: 'pull' | 'pull,push' | 'pull,push,delete';
  /** Further repositories to read from: the sources of cross-repository mounts. */
  readonly mountFrom?: readonly string[];
}

/** A 401 response and its request. */
export interface Refusal {
  /** URL of the request; decides whether the token service may be reached over plain HTTP. */
  readonly url: string;
  /** The `WWW-Authenticate` header as received. */
  readonly challenge: string | undefined;
  /** The refused `Authorization` header, if any. */
  readonly refused: string | undefined;
}

/** Answers challenges with `Authorization` headers and caches them by host and scope. */
export interface Authorizer {
  /**
   * The header from an earlier challenge, renewed when it is about to expire. Undefined without one: nothing is sent
   * unasked. Throws the errors of `answer`.
   */
  header(scope: AuthScope, signal: AbortSignal): Promise<string | undefined>;
  /** The origin of the user's login for the host, for messages; undefined when there is none. Throws AbortError. */
  credentialSource(scope: AuthScope, signal: AbortSignal): Promise<string | undefined>;
  /** Reports whether a refused header may have expired in transit, so that `answer` is worth another attempt. */
  hasExpired(header: string): boolean;
  /**
   * Answers a 401 with the header to send instead. Throws AuthenticationError when there is no (other) answer,
   * TransportError or RegistryError when the token service fails, AbortError.
   */
  answer(scope: AuthScope, refusal: Refusal, signal: AbortSignal): Promise<string>;
}
