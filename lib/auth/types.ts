/** User and password (or a token in its place) for one registry. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** A refresh token: fetches bearer tokens in place of the password (distribution "token/oauth"). */
  readonly identityToken?: string | undefined;
  /** A bearer token that is sent as it is. */
  readonly registryToken?: string | undefined;
  /** A login is being made: the token service is asked for a refresh token too, and this hears it. */
  readonly onRefreshToken?: ((token: string) => void) | undefined;
  /** Where they came from, for messages: `--creds`, a file, a helper. Never their value. */
  readonly source: string;
}

/** Finds the credentials for `host[:port]` as the user wrote it, or undefined for none. Throws AuthenticationError, AbortError. */
export type CredentialLookup = (
  host: string,
  request: { readonly repository?: string | undefined; readonly signal: AbortSignal },
) => Promise<Credentials | undefined>;

/** What a login is kept by: a registry, or the beginning of repository names there. */
export interface RegistryKey {
  /** `host[:port]` in lower case; `docker.io` for all names of Docker Hub. May have `*` in place of labels. */
  readonly host: string;
  /** Repository or the beginning of one, up to a slash; empty for the whole registry. */
  readonly path: string;
}

/** A login to keep. */
export interface Login {
  readonly username: string;
  readonly password: string;
  /** Kept in place of the password. */
  readonly identityToken?: string | undefined;
}

/** Where a login was put, or taken from. */
export interface KeptLogin {
  /** The credentials file. */
  readonly file: string;
  /** The program that keeps the secret; absent when the file itself does. */
  readonly helper?: string | undefined;
}

/** The logins of this user: files in the form of Docker's config.json and the helpers they name. */
export interface CredentialStore {
  /** The login of the most specific key; of equally specific ones, that of the first file. */
  readonly find: CredentialLookup;
  /** Registries that the files name: those with logins, except where a helper keeps them for all hosts. Throws AuthenticationError, UsageError. */
  hosts(): Promise<readonly string[]>;
  /** Headers that the files want sent with every request to a registry. Throws AuthenticationError, UsageError. */
  requestHeaders(): Promise<Readonly<Record<string, string>>>;
  /** Keeps a login under `key`. Throws AuthenticationError when the helper fails, UsageError when the file cannot be written. */
  save(key: RegistryKey, login: Login, options: { readonly signal: AbortSignal }): Promise<KeptLogin>;
  /** The keys of all logins in the files, those in helpers included. Throws AuthenticationError for a file that cannot be read. */
  keys(): Promise<readonly RegistryKey[]>;
  /** Forgets the login of exactly `key`, in all files. Throws as `save`. */
  remove(key: RegistryKey, options: { readonly signal: AbortSignal }): Promise<readonly KeptLogin[]>;
}

/** What a request wants to do: the scope of a bearer token (distribution "token/scope"). */
export interface AuthScope {
  /** `host[:port]` as the user wrote it: what credentials are kept by. */
  readonly host: string;
  /** Absent for requests about the registry itself. */
  readonly repository?: string | undefined;
  readonly actions: 'pull' | 'pull,push' | 'pull,push,delete';
  /** Further repositories to read from: the sources of cross-repository mounts. */
  readonly mountFrom?: readonly string[];
}

/** A 401 and what it was the answer to. */
export interface Refusal {
  /** Where the request went; decides whether a token service may be reached by plain http. */
  readonly url: string;
  /** The `WWW-Authenticate` header as sent. */
  readonly challenge: string | undefined;
  /** The `Authorization` header that was refused, if there was one. */
  readonly refused: string | undefined;
}

/** Turns challenges into `Authorization` headers; remembers them by host and scope. */
export interface Authorizer {
  /**
   * The header that an earlier challenge led to, renewed when it is about to expire, or undefined: nothing is sent
   * unasked. Throws as `answer`.
   */
  header(scope: AuthScope, signal: AbortSignal): Promise<string | undefined>;
  /** Where the login of the user for the host comes from, for messages; undefined: there is none. Throws AbortError. */
  credentialSource(scope: AuthScope, signal: AbortSignal): Promise<string | undefined>;
  /** Whether a header that was refused may just have expired on the way, so that `answer` is worth another try. */
  hasExpired(header: string): boolean;
  /**
   * Answers a 401 with the header to send instead. Throws AuthenticationError when there is no (other) answer,
   * TransportError or RegistryError when the token service fails, AbortError.
   */
  answer(scope: AuthScope, refusal: Refusal, signal: AbortSignal): Promise<string>;
}
