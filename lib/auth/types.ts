/** User and password (or an access token in its place) for one registry. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** Where they came from, for messages: `--creds`, a file, a helper. Never their value. */
  readonly source: string;
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
  /** The header that an earlier challenge led to, or undefined: nothing is sent unasked. */
  header(scope: AuthScope): string | undefined;
  /**
   * Answers a 401 with the header to send instead. Throws AuthenticationError when there is no (other) answer,
   * TransportError or RegistryError when the token service fails, AbortError.
   */
  answer(scope: AuthScope, refusal: Refusal, signal: AbortSignal): Promise<string>;
}
