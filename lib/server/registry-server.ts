import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isDiskFull, DiskSpaceError, SyscallError, UsageError } from '../errors.js';
import { openDirectoryStorage } from './directory-storage.js';
import { dispatch } from './dispatch.js';
import { Exchange } from './exchange.js';
import { RequestError } from './request-error.js';
import { parseTarget } from './route.js';
import type { RegistryStorage, RequestLog, RunningServer, ServerOptions } from './types.js';
import { dispatchV1 } from './v1/dispatch.js';
import { V1Images } from './v1/images.js';
import { isV1Url } from './v1/route.js';
import { V1Tokens } from './v1/tokens.js';
import type { V1Storage } from './v1/types.js';

const LOOPBACK = '127.0.0.1';
const IDLE_MS = 120_000;
const GRACE_MS = 5_000;

/**
 * Starts the embedded registry (OCI distribution-spec 1.1, plain HTTP, no authentication: use loopback). Resolves when
 * it accepts connections. Throws StoreError for an unusable directory, SyscallError when it cannot listen.
 */
export async function startRegistryServer(options: ServerOptions): Promise<RunningServer> {
  options.signal?.throwIfAborted();
  const storage = await openStorage(options);
  const running = new RegistryServer(storage, options);
  try {
    await running.listen(options.listen?.host ?? LOOPBACK, options.listen?.port ?? 0);
  } catch (error) {
    await storage.close();
    throw error;
  }
  options.signal?.addEventListener('abort', () => void running.close(), { once: true });
  return running;
}

async function openStorage({ dir, storage, readOnly, uploadExpiryMs }: ServerOptions): Promise<RegistryStorage> {
  if (storage !== undefined && dir === undefined) return readOnly === true ? withoutWriter(storage) : storage;
  if (dir === undefined || storage !== undefined)
    throw new UsageError('specify either a directory or a storage for the server');
  return openDirectoryStorage({
    dir,
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(uploadExpiryMs === undefined ? {} : { uploadExpiryMs }),
  });
}

function withoutWriter(storage: RegistryStorage): RegistryStorage {
  return {
    repositories: () => storage.repositories(),
    tags: (repository) => storage.tags(repository),
    tagDigest: (repository, tag) => storage.tagDigest(repository, tag),
    hasManifest: (repository, digest) => storage.hasManifest(repository, digest),
    findManifest: (repository, key) => storage.findManifest(repository, key),
    statBlob: (repository, digest) => storage.statBlob(repository, digest),
    openBlob: (repository, digest) => storage.openBlob(repository, digest),
    referrers: (repository, subject, after) => storage.referrers(repository, subject, after),
    ...(storage.onTag === undefined ? {} : { onTag: (listener) => storage.onTag!(listener) }),
    ...(storage.tagsVersion === undefined ? {} : { tagsVersion: (repository) => storage.tagsVersion!(repository) }),
    ...(storage.v1 === undefined ? {} : { v1: readOnlyV1(storage.v1) }),
    close: () => storage.close(),
  };
}

function readOnlyV1(v1: V1Storage): V1Storage {
  return {
    find: (id) => v1.find(id),
    openLayer: (id) => v1.openLayer(id),
    imageOf: (repository, manifest) => v1.imageOf(repository, manifest),
  };
}

class RegistryServer implements RunningServer {
  readonly #storage: RegistryStorage;
  readonly #v1: V1Images;
  readonly #tokens: V1Tokens;
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #inFlight = new Set<Promise<void>>();
  readonly statistics = { requests: 0, bytesReceived: 0, bytesSent: 0 };
  readonly closed: Promise<void>;
  #settleClosed: () => void = () => undefined;
  #closing: Promise<void> | undefined;
  #host = '';
  #port = 0;

  constructor(storage: RegistryStorage, options: ServerOptions) {
    this.#storage = storage;
    this.#v1 = new V1Images(storage);
    this.#tokens = new V1Tokens({ required: options.v1Tokens === true });
    this.#options = options;
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    // Uploads may take hours, so whole requests have no time limit. The idle timeout closes silent connections.
    this.#server = createServer({ requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 60_000, noDelay: true });
    this.#server.timeout = options.idleTimeoutMs ?? IDLE_MS;
    this.#server.on('request', (request, response) => this.#track(request, response));
  }

  get host(): string {
    return this.#host;
  }

  get port(): number {
    return this.#port;
  }

  get address(): string {
    return `${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${this.#port}`;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  /** Starts to listen; called once. */
  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
      this.#server.listen(port, host, resolve);
    });
    const bound = this.#server.address() as AddressInfo;
    this.#host = bound.address;
    this.#port = bound.port;
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close().finally(this.#settleClosed));
  }

  async #close(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const cut = setTimeout(() => this.#server.closeAllConnections(), this.#options.closeGraceMs ?? GRACE_MS);
    await stopped;
    await Promise.all(this.#inFlight);
    clearTimeout(cut);
    await this.#storage.close();
  }

  #track(request: IncomingMessage, response: ServerResponse): void {
    const work = this.#serve(request, response);
    this.#inFlight.add(work);
    void work.finally(() => {
      this.#inFlight.delete(work);
      if (this.#closing !== undefined) this.#server.closeIdleConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now();
    const ended = new Promise<void>((resolve) => response.once('close', resolve));
    const exchange = new Exchange(request, response, this.#storage);
    if (this.#closing !== undefined) response.setHeader('Connection', 'close');
    let failure: unknown;
    try {
      if (isV1Url(request.url ?? '')) await dispatchV1(exchange, this.#v1, this.#tokens);
      else await this.#dispatch(exchange);
    } catch (error) {
      failure = answerFailure(exchange, error);
    }
    // Unread data would block the connection while the client waits to send it.
    if (!request.destroyed && !request.complete) request.resume();
    await ended;
    this.#report(exchange, { startedMs, failure });
  }

  async #dispatch(exchange: Exchange): Promise<void> {
    const { request, response } = exchange;
    response.setHeader('Docker-Distribution-API-Version', 'registry/2.0');
    const { route, query } = parseTarget(request.url ?? '', request.method ?? '');
    exchange.query = query;
    await dispatch(exchange, route);
  }

  #report(exchange: Exchange, { startedMs, failure }: { startedMs: number; failure: unknown }): void {
    const { request, response, bytesReceived, bytesSent } = exchange;
    this.statistics.requests++;
    this.statistics.bytesReceived += bytesReceived;
    this.statistics.bytesSent += bytesSent;
    const log: RequestLog = {
      method: request.method ?? '',
      url: request.url ?? '',
      status: response.statusCode,
      bytesReceived,
      bytesSent,
      durationMs: performance.now() - startedMs,
      remote: request.socket.remoteAddress ?? '',
      complete: response.writableFinished,
      ...(failure === undefined ? {} : { error: failure }),
    };
    this.#options.onRequest?.(log);
  }
}

/** Sends the error, if the client is still connected. Returns what should be logged. */
function answerFailure(exchange: Exchange, error: unknown): unknown {
  const { request, response } = exchange;
  if (request.destroyed && !request.complete) return undefined;
  if (response.headersSent) {
    response.destroy();
    return error;
  }
  const known = error instanceof RequestError ? error : internalError(error);
  const body = isV1Url(request.url ?? '') ? JSON.stringify({ error: known.message }) : known.body();
  exchange.answer(known.status, { 'Content-Type': 'application/json', ...known.headers }, body);
  return error instanceof RequestError ? undefined : error;
}

function internalError(error: unknown): RequestError {
  return isDiskFull(error) || error instanceof DiskSpaceError
    ? new RequestError(507, 'UNKNOWN', 'the disk of the registry is full', { cause: error })
    : new RequestError(500, 'UNKNOWN', 'the registry failed to serve the request', { cause: error });
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): SyscallError {
  const errno = error.code ?? 'EUNKNOWN';
  const hint = errno === 'EADDRINUSE' ? 'another program uses this port: choose another one with --listen' : undefined;
  return new SyscallError(`cannot listen on ${host}:${port}: ${errno}`, {
    errno,
    syscall: 'listen',
    cause: error,
    hint,
  });
}
