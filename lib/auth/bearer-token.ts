/** A token as it was fetched; `renewAt` is a time of `performance.now()`. */
export interface FetchedToken {
  /** The `Authorization` header. */
  readonly header: string;
  /** From when on another one is fetched before it is used. */
  readonly renewAt: number;
}

/** A bearer token that is kept, shared by all who need it at once, and renewed before it expires. */
export class BearerToken {
  readonly #fetch: (signal: AbortSignal) => Promise<FetchedToken>;
  #held: FetchedToken | undefined;
  #running: { readonly token: Promise<FetchedToken>; readonly starter: AbortSignal } | undefined;

  constructor(fetch: (signal: AbortSignal) => Promise<FetchedToken>) {
    this.#fetch = fetch;
  }

  /** The header, another one than `refused` unless the service gives no other. Throws what fetching throws. */
  async header(signal: AbortSignal, refused?: string): Promise<string> {
    const held = this.#held;
    // Many requests are refused at once when a token runs out: the first one's new token serves them all.
    if (held !== undefined && held.header !== refused && performance.now() < held.renewAt) return held.header;
    const running = (this.#running ??= {
      token: this.#fetch(signal).finally(() => (this.#running = undefined)),
      starter: signal,
    });
    try {
      this.#held = await running.token;
      return this.#held.header;
    } catch (error) {
      // The one who fetched for all was cancelled, for whatever reason; this request was not.
      if (running.starter.aborted && !signal.aborted) return this.header(signal, refused);
      throw error;
    }
  }

  /** Whether `header` is the present token and far from running out, by clocks that may differ. */
  isValid(header: string): boolean {
    return this.#held?.header === header && performance.now() < this.#held.renewAt;
  }
}
