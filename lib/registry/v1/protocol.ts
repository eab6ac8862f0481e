import { InvalidReferenceError, NotFoundError, RegistryError, AuthenticationError } from '../../errors.js';
import { createHttpClient, type HttpClient, type HttpClientOptions } from '../../http/index.js';
import { isRepositoryName } from '../../spec/index.js';
import type { RegistryClient } from '../types.js';
import { V1Host, type V1HostOptions } from './host.js';
import { pingUsers } from './ping.js';
import { openV1Repository } from './repository.js';
import { searchIndex } from './search.js';

/** The protocol to use. `auto`: v2, or v1 when the host supports nothing else. */
export type RegistryVersion = 'auto' | '1' | '2';

/** Options of `createV1Protocol`. */
interface V1ProtocolOptions {
  readonly http: HttpClient;
  /** The options `http` was created with; documents use a client of their own. */
  readonly httpOptions: HttpClientOptions;
  readonly registryVersion: RegistryVersion;
  readonly tlsVerify: (host: string) => boolean;
  readonly credentials: (
    host: string,
    request: Parameters<V1HostOptions['credentials']>[0],
  ) => ReturnType<V1HostOptions['credentials']>;
}

/** The part of a registry client that speaks v1. */
interface V1Protocol {
  readonly open: RegistryClient['openV1'];
  readonly search: RegistryClient['search'];
  /** RegistryClient.ping over v1; false when the host does not speak v1. `after`: see `open`. */
  ping(host: string, options: { readonly signal: AbortSignal; readonly after?: unknown }): Promise<boolean>;
  readonly statistics: HttpClient['statistics'];
  close(): Promise<void>;
}

/** Creates the v1 part of a registry client. It sends nothing before its first request. */
export function createV1Protocol(options: V1ProtocolOptions): V1Protocol {
  const { registryVersion } = options;
  const documents = createHttpClient(options.httpOptions);
  const hosts = new Map<string, V1Host>();
  const known = new Map<string, boolean>();
  const hostOf = (name: string): V1Host => {
    let host = hosts.get(name);
    if (host === undefined) {
      host = new V1Host({
        host: name,
        transfers: options.http,
        documents,
        tlsVerify: options.tlsVerify(name),
        credentials: (request) => options.credentials(name, request),
        backoffBaseMs: options.httpOptions.backoffBaseMs,
      });
      hosts.set(name, host);
    }
    return host;
  };
  const isSpoken = async (
    host: string,
    { signal, after }: { signal: AbortSignal; after?: unknown },
  ): Promise<boolean> => {
    if (registryVersion !== 'auto') return registryVersion === '1';
    if (!known.has(host)) {
      if (!mayBeV1(after)) return false;
      const isV1 = await hostOf(host).isV1(signal);
      if (isV1 !== undefined) known.set(host, isV1);
    }
    return known.get(host) === true;
  };
  return {
    open: async ({ host, repository, registryVersion: forced }, { signal, after }) => {
      signal.throwIfAborted();
      // The name becomes part of a URL path, so an unparsed one could address another repository.
      if (!isRepositoryName(repository)) {
        throw new InvalidReferenceError(`${JSON.stringify(repository.slice(0, 300))} is not a repository name`, {
          input: repository,
        });
      }
      if (forced !== 1 && !(await isSpoken(host, { signal, after }))) return undefined;
      return openV1Repository(hostOf(host), repository);
    },
    search: (host, term, { limit, signal }) => searchIndex(hostOf(host), term, { limit, signal }),
    ping: async (host, how) => {
      if (!(await isSpoken(host, how))) return false;
      await pingUsers(hostOf(host), how.signal);
      return true;
    },
    get statistics() {
      return documents.statistics;
    },
    close: () => documents.close(),
  };
}

/** True when a v2 request failed as it does at a v1 registry. */
function mayBeV1(error: unknown): boolean {
  if (error instanceof NotFoundError) return error.kind !== 'blob';
  return (
    error instanceof AuthenticationError ||
    (error instanceof RegistryError && error.status >= 400 && error.status < 429)
  );
}
