/** A fetched token. `renewAt` is a time of `performance.now()`. */
export interface FetchedToken {
  /** The value of the `Authorization` header. */
  readonly header: string;
  /** From this time on, it is renewed before use. */
  readonly renewAt: number;
}

/** A cached bearer token. Shared by concurrent requests and renewed before it expires. */
export class BearerToken {
  readonly #fetch: (signal: AbortSignal) => Promise<FetchedToken>;
  #held: FetchedToken | undefined;
  #running: { readonly token: Promise<FetchedToken>; readonly starter: AbortSignal } | undefined;

  constructor(fetch: (signal: AbortSignal) => Promise<FetchedToken>) {
    this.#fetch = fetch;
  }

  /** The header; differs from `refused` unless the service issues the same again. Throws the errors of fetching. */
  async header(signal: AbortSignal, refused?: string): Promise<string> {
    const held = this.#held;
    // When a token expires, many requests are refused at once. The first one's new token serves them all.
    if (held !== undefined && held.header !== refused && performance.now() < held.renewAt) return held.header;
    const running = (this.#running ??= {
      token: this.#fetch(signal).finally(() => (this.#running = undefined)),
      starter: signal,
    });
    try {
      this.#held = await running.token;
      return this.#held.header;
    } catch (error) {
      // The request that fetched the token for all was cancelled; this one was not.
      if (running.starter.aborted && !signal.aborted) return this.header(signal, refused);
      throw error;
    }
  }

  /** Reports whether `header` is the current token and not about to expire, even if clocks differ. */
  isValid(header: string): boolean {
    return this.#held?.header === header && performance.now() < this.#held.renewAt;
  }
}
