import { TransportError } from '../errors.js';
import { backoffMs, delay } from '../util/index.js';
import { readCapped, readDocument } from './capped-body.js';
import { Governor, isRefusal, parseRetryAfter, sharedClock } from '../limits/index.js';
import { KnownHosts } from './host-facts.js';
import { HostQueues } from './host-queue.js';
import { nextHop, type Hop } from './redirect.js';
import { redactText, redactUrl } from './redact.js';
import { isRetryableCode, isRetryableStatus, MAX_RETRY_AFTER_MS } from './retry.js';
import { Sender, SendFailure, type Answer } from './send.js';
import { isMalformedHead } from './transport-failure.js';
import type { BufferedResponse, HttpClient, HttpClientOptions, HttpRequest, StreamedResponse } from './types.js';

const DEFAULT_PARALLEL = 6;
const DEFAULT_RETRIES = 5;
const DEFAULT_MAX_BYTES = 4 * 1024 * 1024;
/** Error bodies are read up to this size in bytes. */
const MAX_ERROR_BYTES = 64 * 1024;

/** Creates an HTTP client. It loads and opens nothing before its first request. The caller closes it. */
export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  return new Client(options);
}

class Client implements HttpClient {
  readonly knownHosts: KnownHosts;
  readonly #options: HttpClientOptions;
  readonly #queues: HostQueues;
  readonly #sender: Sender;
  readonly #governor: Governor;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.knownHosts = options.knownHosts ?? new KnownHosts();
    const parallel = Math.max(1, Math.trunc(options.parallel ?? DEFAULT_PARALLEL));
    this.#queues = new HostQueues(parallel);
    this.#governor = new Governor({ directory: options.limitsDirectory, parallel, warn: options.warn });
    this.#sender = new Sender(options);
  }

  get statistics(): HttpClient['statistics'] {
    return this.#sender.statistics;
  }

  async stream(request: HttpRequest): Promise<StreamedResponse> {
    const retries = request.retries ?? this.#options.retries ?? DEFAULT_RETRIES;
    for (let attempt = 1; ; attempt++) {
      const { answer, url, failure }: Tried = await this.#try(request, attempt <= retries);
      const last = attempt > retries;
      if (failure !== undefined) {
        const repeats = !last || request.method === 'GET' || request.method === 'HEAD';
        if (this.#learns(url.host, failure) && repeats) continue;
        if (last || attempt > (request.connectRetries ?? Infinity) || !isWorthRetry(failure, attempt))
          throw failure.failure.error;
        // A connection that died while idle says nothing about the server, so the first retry does not wait.
        const waitMs = failure.staleConnection && attempt === 1 ? 0 : this.#backoff(attempt);
        this.#log(
          `${request.method} ${redactUrl(request.url)}: ${failure.message}; retrying in ${Math.round(waitMs)} ms`,
        );
        await delay(waitMs, request.signal);
        continue;
      }
      const pauseMs = last ? undefined : this.#pauseAfter(answer, attempt);
      if (pauseMs === undefined) {
        return { status: answer.status, headers: answer.headers, url: url.href, body: answer.body };
      }
      this.#log(`${request.method} ${redactUrl(url)}: ${answer.status}; retrying in ${Math.round(pauseMs)} ms`);
      await readCapped(answer.body, MAX_ERROR_BYTES).catch(() => undefined);
      // For a refusal, the governor delays all requests to the host, including this one.
      if (!isRefusal(answer.status, answer.headers)) await delay(pauseMs, request.signal);
    }
  }

  async request(request: HttpRequest, options: { readonly maxBytes?: number } = {}): Promise<BufferedResponse> {
    const retries = request.retries ?? this.#options.retries ?? DEFAULT_RETRIES;
    for (let attempt = 1; ; attempt++) {
      const response = await this.stream(request);
      const cap = response.status >= 400 ? MAX_ERROR_BYTES : (options.maxBytes ?? DEFAULT_MAX_BYTES);
      try {
        return { ...response, ...(await readDocument(response, cap)) };
      } catch (error) {
        if (!(error instanceof TransportError) || attempt > retries) throw error;
        await delay(this.#backoff(attempt), request.signal);
      }
    }
  }

  close(): Promise<void> {
    this.#governor.close();
    this.#sender.close();
    return Promise.resolve();
  }

  /** Makes one attempt. The request and each redirect wait in the queue of the host they go to. */
  async #try(request: HttpRequest, mayRetry: boolean): Promise<Tried> {
    const visited = new Set([`${request.method} ${request.url}`]);
    let hop: Hop | undefined = {
      method: request.method,
      url: new URL(request.url),
      headers: request.headers ?? {},
      body: request.body,
      secretBody: request.secretBody === true,
    };
    for (;;) {
      const { url }: Hop = hop;
      let answer: Answer;
      try {
        answer = await this.#send(hop, request);
      } catch (error) {
        if (!(error instanceof SendFailure)) throw error;
        return { answer: undefined, url, failure: error };
      }
      let next: Hop | undefined;
      try {
        next = await nextHop(hop, answer.status, answer.headers.location, visited);
      } catch (error) {
        answer.body.destroy();
        throw error;
      }
      if (next === undefined || (mayRetry && isRetryableStatus(answer.status)))
        return { answer, url, failure: undefined };
      await readCapped(answer.body, MAX_ERROR_BYTES).catch(() => undefined);
      hop = next;
    }
  }

  async #send(hop: Hop, request: HttpRequest): Promise<Answer> {
    const { signal, priority = 0, responseMs, anonymous } = request;
    const { host } = hop.url;
    const { malformedHeads: repaired } = this.knownHosts.of(host);
    const upload = typeof hop.body === 'function';
    const release = await this.#queues.acquire(host, { priority, signal, upload });
    try {
      await this.#governor.turn(host, signal);
    } catch (error) {
      release();
      throw error;
    }
    const started = performance.now();
    const sentAt = sharedClock();
    const answer = await this.#sender.send(hop, { signal, responseMs, anonymous, repaired, closed: release });
    // The reader of the body receives its errors. Before there is a reader, an error must not crash the process.
    answer.body.on('error', () => undefined);
    await this.#governor.answered(host, { status: answer.status, headers: answer.headers, sentAt });
    this.#queues.limit(host, this.#governor.parallel(host));
    const what = `${hop.method} ${redactUrl(hop.url)}: ${answer.status}`;
    const afterMs = (): string => `${Math.round(performance.now() - started)} ms`;
    this.#log(`${what} in ${afterMs()}`);
    if (this.#options.log !== undefined) {
      const { body } = answer;
      body.once('close', () => {
        if (body.received > 0) this.#log(`${what}, ${body.received} bytes after ${afterMs()}`);
      });
    }
    return answer;
  }

  /** Records what the failure shows about the host. Returns true if the next attempt will be made differently. */
  #learns(host: string, { failure: { code } }: SendFailure): boolean {
    const facts = this.knownHosts.of(host);
    if (facts.malformedHeads === true || !isMalformedHead(code)) return false;
    facts.malformedHeads = true;
    const what = `sends invalid HTTP responses (${code})`;
    this.#options.warn?.(`warning: ${host} ${what}: imgtool repairs them, using one connection per request`);
    return true;
  }

  /** Time in ms to wait before a retry after this response. Undefined: the response is final. */
  #pauseAfter(answer: Answer, attempt: number): number | undefined {
    if (!isRetryableStatus(answer.status)) return undefined;
    const asked = parseRetryAfter(answer.headers['retry-after']);
    if (asked === undefined) return this.#backoff(attempt);
    return asked > MAX_RETRY_AFTER_MS ? undefined : asked;
  }

  #backoff(attempt: number): number {
    return backoffMs(attempt, this.#options.backoffBaseMs);
  }

  #log(line: string): void {
    this.#options.log?.(redactText(line));
  }
}

function isWorthRetry({ failure: { code }, staleConnection }: SendFailure, attempt: number): boolean {
  // The connection still held late bytes of the previous response.
  if (staleConnection && attempt === 1 && code === 'HPE_INVALID_CONSTANT') return true;
  return isRetryableCode(code, attempt);
}

type Tried =
  | { readonly answer: Answer; readonly url: URL; readonly failure: undefined }
  | { readonly answer: undefined; readonly url: URL; readonly failure: SendFailure };
