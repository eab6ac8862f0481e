import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Got, OptionsInit, Request as GotRequest } from 'got';
import { onAbort } from '../util/index.js';
import { Agents, CONNECT_MS, type Route, type RouteOptions } from './agents.js';
import { isLoopbackHost } from './loopback.js';
import type { Hop } from './redirect.js';
import { RateLimiter } from './rate-limiter.js';
import { MAX_HEAD_BYTES } from './repair-head.js';
import { ResponseBody } from './response-body.js';
import { describeFailure, ProxyRefusal, StallError, type Failure } from './transport-failure.js';
import type { HttpClientOptions, HttpHeaders, RequestBody } from './types.js';

/** The response to one hop, before redirects and retries. Its slot of the host is held until `body` is closed. */
export interface Answer {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly body: ResponseBody;
}

/** An attempt that failed before its response headers arrived. */
export class SendFailure extends Error {
  readonly failure: Failure;
  /** The server had closed an idle connection just as it was reused: a retry costs nothing. */
  readonly staleConnection: boolean;
  constructor(failure: Failure, staleConnection: boolean) {
    super(failure.error.message);
    this.failure = failure;
    this.staleConnection = staleConnection;
  }
}

/** The options of a single exchange. */
interface SendOptions extends RouteOptions {
  readonly signal: AbortSignal;
  readonly responseMs: number | undefined;
  /** Called once, at the end of the exchange: the body ended or was destroyed, or the attempt failed. */
  readonly closed: () => void;
}

/** Sends single requests with got over the connections of one client. Loads got for the first one. */
export class Sender {
  readonly #options: HttpClientOptions;
  readonly #agents: Agents;
  readonly #warned = new Set<string>();
  readonly #limiter: RateLimiter | undefined;
  #got: Got | undefined;
  readonly statistics = { requests: 0, bytesReceived: 0, bytesSent: 0 };

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#agents = new Agents(options);
    this.#limiter = options.limitRate === undefined ? undefined : new RateLimiter(options.limitRate);
  }

  /** Resolves when the response headers have arrived. Throws SendFailure, AbortError. */
  async send(hop: Hop, options: SendOptions): Promise<Answer> {
    let over = false;
    const closed = (): void => {
      if (!over) options.closed();
      over = true;
    };
    try {
      const got = (this.#got ??= (await import('got')).got);
      const route = await this.#agents.route(hop.url, options);
      options.signal.throwIfAborted();
      return await this.#exchange(got, hop, route, { ...options, closed });
    } catch (error) {
      closed();
      throw error;
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.#agents.close();
  }

  async #exchange(got: Got, hop: Hop, route: Route, options: SendOptions): Promise<Answer> {
    const { signal } = options;
    const facts = { host: hop.url.host, secure: hop.url.protocol === 'https:', proxy: route.proxy };
    this.statistics.requests++;
    const stream = got.stream(hop.url, this.#gotOptions(hop, route, options.responseMs));
    const forgetAbort = onAbort(signal, () => void stream.destroy());
    let native: ClientRequest | undefined;
    const upload = new UploadWatch(stream, this.#options.timeouts?.stallMs ?? STALL_MS, this.statistics);
    stream.once('request', (request: ClientRequest) => {
      native = request;
      if (hop.body !== undefined) upload.start(request);
    });
    try {
      // Aborting destroys the stream without an error: only the close event comes, no response.
      const first = await Promise.race([once(stream, 'response'), once(stream, 'close')]);
      signal.throwIfAborted();
      const response = first[0] as IncomingMessage | undefined;
      if (response === undefined) throw Object.assign(new Error('closed'), { code: 'ECONNRESET' });
      // Registries never answer 407, so the response is the proxy's.
      if (response.statusCode === 407) throw new ProxyRefusal(407);
      this.#warn(hop.url, native?.socket);
      const body = new ResponseBody(hop.method === 'HEAD' ? noBody(stream, native) : stream, {
        signal,
        stallMs: this.#options.timeouts?.stallMs ?? STALL_MS,
        limiter: this.#limiter,
        received: (bytes) => (this.statistics.bytesReceived += bytes),
        readerError: (raw) => describeFailure(raw, { ...facts, answered: true }).error,
        closed: options.closed,
      });
      return { status: response.statusCode ?? 0, headers: response.headers, body };
    } catch (error) {
      stream.on('error', () => undefined);
      stream.destroy();
      signal.throwIfAborted();
      const cause = upload.stalled ?? error;
      throw new SendFailure(describeFailure(cause, { ...facts, answered: false }), native?.reusedSocket === true);
    } finally {
      forgetAbort();
      upload.stop();
    }
  }

  /** Warns about unprotected connections, once per host. */
  #warn({ protocol, host }: URL, socket: ClientRequest['socket'] | undefined): void {
    const plain = protocol === 'http:';
    // Traffic on this machine cannot be intercepted, but the server's identity is still unproven.
    if ((plain && isLoopbackHost(host)) || this.#warned.has(host)) return;
    if (!plain && (socket as TLSSocket | null | undefined)?.authorized !== false) return;
    this.#warned.add(host);
    const what = plain ? 'plain HTTP, which is not encrypted' : 'HTTPS without a trusted certificate';
    this.#options.warn?.(`warning: the connection to ${host} uses ${what}`);
  }

  #gotOptions(hop: Hop, route: Route, responseMs: number | undefined): StreamOptions {
    const { timeouts } = this.#options;
    const connectMs = timeouts?.connectMs ?? CONNECT_MS;
    const reads = hop.method === 'GET' || hop.method === 'HEAD';
    return {
      method: hop.method,
      headers: {
        'user-agent': this.#options.userAgent ?? 'imgtool',
        // Blobs are hashed as sent, so another compression on top gains nothing.
        'accept-encoding': 'identity',
        ...hop.headers,
      },
      ...(reads ? {} : { body: this.#bodyOf(hop.body ?? NO_BYTES) }),
      agent: { http: route.agent, https: route.agent as HttpsAgent },
      timeout: {
        lookup: connectMs,
        connect: connectMs,
        secureConnect: connectMs,
        response: responseMs ?? timeouts?.responseMs ?? 60_000,
      },
      https: { rejectUnauthorized: route.tls?.verify ?? true },
      // This room handles redirects, retries, statuses and encodings itself.
      maxHeaderSize: MAX_HEAD_BYTES,
      followRedirect: false,
      retry: { limit: 0 },
      throwHttpErrors: false,
      decompress: false,
    };
  }

  #bodyOf(body: RequestBody): Uint8Array | Readable {
    return typeof body === 'function' ? Readable.from(inPieces(body(), this.#limiter), { objectMode: false }) : body;
  }
}

/** A response to HEAD ends with its head. If a body arrives anyway, the connection is closed. */
function noBody(stream: GotRequest, request: ClientRequest | undefined): Readable {
  stream.on('error', () => undefined);
  // got does not end when its parser fails on such a body.
  request?.once('close', () => stream.destroy());
  stream.resume();
  return Readable.from([]);
}

type StreamOptions = Omit<OptionsInit, 'isStream'>;

const STALL_MS = 30_000;
const NO_BYTES = new Uint8Array(0);

/** The smallest upload piece, in bytes. */
const LEAST_PIECE_BYTES = 64 * 1024;
/** If a piece is sent within this many ms, the next one is larger. */
const QUICK_MS = 100;

/** Splits a body into pieces whose size adapts to the speed: the progress of one large, slow piece would be invisible. */
async function* inPieces(source: Readable, limiter: RateLimiter | undefined): AsyncGenerator<Buffer> {
  let most = LEAST_PIECE_BYTES;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    for (let offset = 0; offset < chunk.length;) {
      const piece = chunk.subarray(offset, offset + most);
      offset += piece.length;
      const waitMs = limiter?.take(piece.length) ?? 0;
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const started = performance.now();
      yield piece;
      const quick = limiter === undefined && performance.now() - started < QUICK_MS;
      most = quick ? most * 2 : LEAST_PIECE_BYTES;
    }
  }
}

/** Ends an upload when the server stops reading, and counts the bytes sent. A slow source on this side is not a stall. */
class UploadWatch {
  stalled: StallError | undefined;
  readonly #stream: GotRequest;
  readonly #stallMs: number;
  readonly #statistics: { bytesSent: number };
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: GotRequest, stallMs: number, statistics: { bytesSent: number }) {
    this.#stream = stream;
    this.#stallMs = stallMs;
    this.#statistics = statistics;
  }

  start(request: ClientRequest): void {
    let moved = -1;
    let idleChecks = 0;
    this.#timer = setInterval(() => {
      const written = request.socket?.bytesWritten ?? 0;
      // Once all is written, waiting for the response is covered by the response timeout.
      const waiting = request.writableLength > 0 && !request.writableFinished;
      idleChecks = waiting && written === moved ? idleChecks + 1 : 0;
      moved = written;
      if (idleChecks <= 4) return;
      this.stalled = new StallError(this.#stallMs);
      this.#stream.destroy(this.stalled);
    }, this.#stallMs / 4);
  }

  stop(): void {
    clearInterval(this.#timer);
    if (this.#timer !== undefined) this.#statistics.bytesSent += this.#stream.uploadProgress.transferred;
    this.#timer = undefined;
  }
}
