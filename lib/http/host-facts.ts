/** How a host accepts blob uploads: in a single PUT, in a single PATCH, or in several PATCH requests with `Content-Range`. */
export type UploadWay = 'put' | 'patch' | 'chunks';

/** Facts about one host, learned from past responses, so that later requests avoid the same refusal. */
export interface HostFacts {
  /** Its response heads are invalid HTTP. They are repaired, and each connection serves one request only. */
  malformedHeads?: boolean;
  /** HEAD and GET of a manifest gave the same answer before, so a 404 to HEAD is reliable. */
  headWorks?: boolean;
  /** The host, or its storage backend, refuses `Range` requests. */
  refusesRanges?: boolean;
  /** Its token service grants only one of several requested scopes per token. */
  oneScopeTokens?: boolean;
  /** It refuses list requests with a page size. */
  refusesPageSize?: boolean;
  /** It supports the referrers API. */
  hasReferrersApi?: boolean;
  /** The largest request body in bytes that it is known to accept. */
  maxBodyBytes?: number;
  readonly refusedUploads: Set<UploadWay>;
  /** Pairs `TARGET FROM` of repositories between which a mount was denied. */
  readonly refusedMounts: Set<string>;
}

/** The facts about all hosts. All clients of a process share one. */
export class KnownHosts {
  readonly #hosts = new Map<string, HostFacts>();

  /** The facts about `host[:port]`; callers read and modify them. */
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
