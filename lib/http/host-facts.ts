/** How a blob can be uploaded: one PUT with all of it; one PATCH with all of it; PATCH by PATCH with `Content-Range`. */
export type UploadWay = 'put' | 'patch' | 'chunks';

/** What was learned about one host by a refusal, so that the next request does not run into it again. */
export interface HostFacts {
  /** Its response heads break the rules of HTTP: they are repaired, each on a connection that serves one request only. */
  malformedHeads?: boolean;
  /** It answered HEAD for a manifest as it did GET: when it says that there is none, it can be believed. */
  headWorks?: boolean;
  /** It, or the storage behind it, refuses requests with `Range`. */
  refusesRanges?: boolean;
  /** Its token service puts only one of several scopes into a token. */
  oneScopeTokens?: boolean;
  /** It refuses lists with a page size. */
  refusesPageSize?: boolean;
  /** Whether it answers the referrers API. */
  hasReferrersApi?: boolean;
  /** The longest request body it may take. Bytes. */
  maxBodyBytes?: number;
  readonly refusedUploads: Set<UploadWay>;
  /** Pairs `TARGET FROM` of repositories between which it refused a mount for lack of rights. */
  readonly refusedMounts: Set<string>;
}

/** What is known about hosts; one for all clients of a process. */
export class KnownHosts {
  readonly #hosts = new Map<string, HostFacts>();

  /** The facts of `host[:port]`, to be read and added to. */
  of(host: string): HostFacts {
    const key = host.toLowerCase();
    let facts = this.#hosts.get(key);
    if (facts === undefined) {
      facts = { refusedUploads: new Set(), refusedMounts: new Set() };
      this.#hosts.set(key, facts);
    }
    return facts;
  }
}
