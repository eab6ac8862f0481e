import { InvalidReferenceError } from '../errors.js';
import { createAuthorizer, type AuthorizerOptions, type CredentialLookup } from '../auth/index.js';
import { createHttpClient, type HttpClientOptions } from '../http/index.js';
import { isNonDistributable, isRepositoryName } from '../spec/index.js';
import { foreignBlob } from './foreign-blob.js';
import { DownHosts, mirroredReader } from './mirrored-reader.js';
import type { RegistryClient, RepositoryReader, RepositoryWriter } from './types.js';
import { createV1Protocol, type RegistryVersion } from './v1/protocol.js';
import { Endpoint, type EndpointOptions } from './v2/endpoint.js';
import { ping } from './v2/ping.js';
import { openReader, openWriter } from './v2/repository.js';
import { listRepositories } from './v2/tags.js';

/** Options of `createRegistryClient`, including those of the HTTP client. */
export interface RegistryClientOptions extends HttpClientOptions {
  /** False accepts any certificate and plain HTTP, for all hosts or for one. Default: true for every host. */
  readonly tlsVerify?: boolean | ((host: string) => boolean);
  /** Credentials for `host[:port]`; default: none. */
  readonly credentials?: CredentialLookup;
  /** Headers for every request to a registry, never sent to other hosts. Default: none. */
  readonly requestHeaders?: EndpointOptions['requestHeaders'];
  /** The host of a registry's token service when it differs from the registry and may receive passwords. Default: a built-in list. */
  readonly tokenService?: AuthorizerOptions['tokenService'];
  /** Parts of one large blob to fetch concurrently. Default `auto`: several when one connection is slow. */
  readonly connections?: number | 'auto';
  /** The sources of a repository: its mirrors in order, then itself. Default: only itself. */
  readonly sources?: (host: string, repository: string) => readonly [...RepositorySource[], RepositorySource];
  /** Called for the URLs of foreign layers; throws UsageError when reading from there is forbidden. Default: all are allowed. */
  readonly checkPlace?: (host: string, path: string) => void;
  /** The protocol to use; default `auto`: v2, or v1 when the host supports nothing else. */
  readonly registryVersion?: RegistryVersion;
}

/** A source to read a repository from. */
interface RepositorySource {
  readonly host: string;
  readonly repository: string;
  /** Accept any certificate and plain HTTP. */
  readonly insecure?: boolean;
  /** The only kind of reference to request there; default: both. */
  readonly only?: 'digest' | 'tag';
}

/** Creates a registry client. It loads and sends nothing before its first request. The caller closes it. */
export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  const {
    tlsVerify = true,
    credentials,
    tokenService,
    requestHeaders,
    sources,
    checkPlace,
    connections,
    registryVersion,
    ...given
  } = options;
  const insecure = new Set<string>();
  const down = new DownHosts();
  const told = new Set<string>();
  const verifies = (host: string): boolean =>
    !insecure.has(host) && (typeof tlsVerify === 'boolean' ? tlsVerify : tlsVerify(host));
  const httpOptions: HttpClientOptions = {
    ...given,
    tls: (host) => (verifies(host) ? given.tls?.(host) : { ...given.tls?.(host), verify: false }),
  };
  const http = createHttpClient(httpOptions);
  const { knownHosts } = http;
  const authorizer = createAuthorizer({
    http,
    ...(credentials === undefined ? {} : { credentials }),
    ...(tokenService === undefined ? {} : { tokenService }),
  });
  const v1 = createV1Protocol({
    http,
    httpOptions: { ...httpOptions, knownHosts },
    registryVersion: registryVersion ?? 'auto',
    tlsVerify: verifies,
    credentials: (host, request) => credentials?.(host, request) ?? Promise.resolve(undefined),
  });
  const endpoints = new Map<string, Endpoint>();
  const endpointOf = (host: string): Endpoint => {
    let endpoint = endpoints.get(host);
    if (endpoint === undefined) {
      const { retries, warn } = httpOptions;
      endpoint = new Endpoint({
        http,
        authorizer,
        host,
        tlsVerify: verifies(host),
        requestHeaders,
        connections,
        retries,
        warn,
      });
      endpoints.set(host, endpoint);
    }
    return endpoint;
  };
  const passedOver = (mirror: string, line: string): void => {
    httpOptions.log?.(line);
    if (!told.has(mirror)) httpOptions.warn?.(`warning: ${line}`);
    told.add(mirror);
  };
  const openAt = (source: RepositorySource): RepositoryReader => {
    checkName(source.repository);
    if (source.insecure === true) insecure.add(source.host);
    return openReader(endpointOf(source.host), source.repository);
  };
  const withForeignLayers = (reader: RepositoryReader): RepositoryReader => ({
    ...reader,
    blob: (descriptor, options) => {
      const registry = reader.blob(descriptor, options);
      if (!isNonDistributable(descriptor)) return registry;
      return foreignBlob(descriptor, {
        ...{ http, registry, priority: options?.priority },
        ...{ namedBy: reader.host, check: checkPlace },
      });
    },
  });
  return {
    // Async, so that all errors reject.
    // oxlint-disable-next-line typescript/require-await
    open: async ({ host, repository }, { signal, mirrors: fromMirrors = true }): Promise<RepositoryReader> => {
      signal.throwIfAborted();
      // Always called, because it throws for blocked registries.
      const places = sources?.(host, repository) ?? [{ host, repository }];
      if (!fromMirrors) return openAt({ host, repository });
      const itself = { ...openAt(places.at(-1)!), host, repository };
      if (places.length === 1) return withForeignLayers(itself);
      const mirrors = places.slice(0, -1).map((place) => ({ reader: openAt(place), only: place.only }));
      return withForeignLayers(mirroredReader(mirrors, itself, { down, onFailure: passedOver }));
    },
    // oxlint-disable-next-line typescript/require-await
    openWriter: async ({ host, repository }, { signal, mountFrom = [] }): Promise<RepositoryWriter> => {
      signal.throwIfAborted();
      [repository, ...mountFrom].forEach(checkName);
      return openWriter(endpointOf(host), repository, { mountFrom, retries: httpOptions.retries });
    },
    foreignBlob: (descriptor) => foreignBlob(descriptor, { http, check: checkPlace }),
    catalog: (host, { signal }) => listRepositories(endpointOf(host), signal),
    ping: async (host, { signal }) => {
      if (registryVersion === '1') return void (await v1.ping(host, { signal }));
      try {
        await ping(endpointOf(host), signal);
      } catch (error) {
        if (!(await v1.ping(host, { signal, after: error }))) throw error;
      }
    },
    openV1: (reference, how) => v1.open(reference, how),
    search: (host, term, how) => v1.search(host, term, how),
    get statistics() {
      const [a, b] = [http.statistics, v1.statistics];
      return {
        requests: a.requests + b.requests,
        bytesReceived: a.bytesReceived + b.bytesReceived,
        bytesSent: a.bytesSent + b.bytesSent,
      };
    },
    close: async () => void (await Promise.all([http.close(), v1.close()])),
  };
}

/** The name becomes part of a URL path, so an unparsed one could address another repository. */
function checkName(repository: string): void {
  if (isRepositoryName(repository)) return;
  throw new InvalidReferenceError(`${JSON.stringify(repository.slice(0, 300))} is not a repository name`, {
    input: repository,
  });
}
