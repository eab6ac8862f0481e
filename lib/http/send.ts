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

/** One answer to one hop, not yet followed or retried. The slot of the host is held until `body` is closed. */
export interface Answer {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly body: ResponseBody;
}

/** A try that failed before its response headers came. */
export class SendFailure extends Error {
  readonly failure: Failure;
  /** The server had closed an idle connection just when it was used again: another try costs nothing. */
  readonly staleConnection: boolean;
  constructor(failure: Failure, staleConnection: boolean) {
    super(failure.error.message);
    this.failure = failure;
    this.staleConnection = staleConnection;
  }
}

/** What a single exchange needs besides the hop. */
export interface SendOptions extends RouteOptions {
  readonly signal: AbortSignal;
  readonly responseMs: number | undefined;
  /** Called once, when the exchange is over: the body ended, was destroyed, or the try failed. */
  readonly closed: () => void;
}

/** Sends single requests through got, with the connections of one client. Loads got on the first one. */
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

  /** Resolves when the response headers are there. Throws SendFailure, AbortError. */
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

  /** Ends the idle connections. */
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
      // Aborting destroys the stream without an error: then no response comes, only the close.
      const first = await Promise.race([once(stream, 'response'), once(stream, 'close')]);
      signal.throwIfAborted();
      const response = first[0] as IncomingMessage | undefined;
      if (response === undefined) throw Object.assign(new Error('closed'), { code: 'ECONNRESET' });
      // A registry never answers so: it is the proxy that speaks.
      if (response.statusCode === 407) throw new ProxyRefusal(407);
      this.#warn(hop.url, native?.socket);
      const body = new ResponseBody(hop.method === 'HEAD' ? noBody(stream, native) : stream, {
        signal,
        stallMs: this.#options.timeouts?.stallMs ?? STALL_MS,
        limiter: this.#limiter,
        received: (bytes) => (this.statistics.bytesReceived += bytes),
        failure: (raw) => describeFailure(raw, { ...facts, answered: true }).error,
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

  /** What is not protected is said, once for a host. */
  #warn({ protocol, host }: URL, socket: ClientRequest['socket'] | undefined): void {
    const plain = protocol === 'http:';
    // Nothing can listen in between on this machine, but the server's identity is still not proven.
    if ((plain && isLoopbackHost(host)) || this.#warned.has(host)) return;
    if (!plain && (socket as TLSSocket | null | undefined)?.authorized !== false) return;
    this.#warned.add(host);
    const what = plain ? 'plain http: nothing is encrypted' : 'https without a certificate that can be trusted';
    this.#options.warn?.(`warning: ${host} is spoken to by ${what}`);
  }

  #gotOptions(hop: Hop, route: Route, responseMs: number | undefined): StreamOptions {
    const { timeouts } = this.#options;
    const connectMs = timeouts?.connectMs ?? CONNECT_MS;
    const reads = hop.method === 'GET' || hop.method === 'HEAD';
    return {
      method: hop.method,
      headers: {
        'user-agent': this.#options.userAgent ?? 'imgtool',
        // Blobs are hashed as sent; nothing here gains from another compression.
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
      // Redirects, retries, statuses and encodings are this room's own.
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

/** The head of an answer to HEAD is all of it; a body that comes all the same ends the connection. */
function noBody(stream: GotRequest, request: ClientRequest | undefined): Readable {
  stream.on('error', () => undefined);
  // got does not end when the parser stumbles over such a body.
  request?.once('close', () => stream.destroy());
  stream.resume();
  return Readable.from([]);
}

type StreamOptions = Omit<OptionsInit, 'isStream'>;

const STALL_MS = 30_000;
const NO_BYTES = new Uint8Array(0);

/** Bytes. */
const LEAST_PIECE_BYTES = 64 * 1024;
/** A piece that is sent within this time may be followed by a larger one. Milliseconds. */
const QUICK_MS = 100;

/** A body in pieces as large as are taken quickly: of a large one that goes slowly nobody could tell whether it moves. */
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

/** Ends an upload whose server takes no more bytes, and counts what was sent. A slow source of ours is no stall. */
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
      // What waits for the server's answer is the response time-out's to judge.
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
