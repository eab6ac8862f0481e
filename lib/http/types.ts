import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { KnownHosts } from './host-facts.js';

/** Response headers, names in lower case. */
export type HttpHeaders = IncomingHttpHeaders;

/** Bytes to send: held in memory, or a stream that can be opened again for a retry. */
export type RequestBody = Uint8Array | (() => Readable);

/** One request; redirects and retries belong to it. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Absolute, `http:` or `https:`. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** With a stream, give `content-length` in `headers` unless the body is to be sent chunked. */
  readonly body?: RequestBody;
  /** The body is for this host alone: a redirect that would send it to another one is an error. */
  readonly secretBody?: boolean;
  /** Shows nobody a certificate of ours. */
  readonly anonymous?: boolean;
  readonly signal: AbortSignal;
  /** Higher starts first within the limit of the host. Default 0. */
  readonly priority?: number;
  /** Retries on top of the first try; default: the client's. 0 for what must not be sent twice. */
  readonly retries?: number;
  /** How many of the retries may follow a failure without any answer; default: all. */
  readonly connectRetries?: number;
  /** How long to wait for the response headers after the request is sent; default: the client's. Milliseconds. */
  readonly responseMs?: number;
}

/** The head of a response, whatever its status. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: HttpHeaders;
  /** Where the response came from, after redirects; not redacted. */
  readonly url: string;
}

/** A response whose body is held in memory. */
export interface BufferedResponse extends HttpResponse {
  readonly body: Buffer;
  /** The body was longer than the cap and is cut. */
  readonly truncated: boolean;
}

/** A response to stream. The slot of the host is held until `body` ends or is destroyed: the caller must do either. */
export interface StreamedResponse extends HttpResponse {
  readonly body: Readable;
}

/** TLS options of one host; PEM text. */
export interface TlsOptions {
  /** Authorities trusted besides the system's. */
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  /** False accepts any certificate. Default true. */
  readonly verify?: boolean;
}

/** Milliseconds; a transfer that moves is never cut. */
export interface HttpTimeouts {
  /** Name lookup, TCP and TLS, each. Default 15,000. */
  readonly connectMs?: number;
  /** From the end of the request to the response headers. Default 60,000. */
  readonly responseMs?: number;
  /** A body that does not move in either direction. Default 30,000. */
  readonly stallMs?: number;
}

/** Options of `createHttpClient`. */
export interface HttpClientOptions {
  /** Transfers at the same time for each host. Default 6, minimum 1. */
  readonly parallel?: number;
  /** Retries after the first try of a request. Default 5, minimum 0. */
  readonly retries?: number;
  /** Wait before the first retry, doubled for each further one. Default 250. Milliseconds. */
  readonly backoffBaseMs?: number;
  readonly timeouts?: HttpTimeouts;
  /** Body bytes per second over all transfers of this client, received and sent; default: no limit. */
  readonly limitRate?: number;
  /** Directory, made when needed, in which all processes of the user share what hosts allow; default: not shared. */
  readonly limitsDirectory?: string;
  /** What was learned about hosts, shared with other clients; default: this client's own. */
  readonly knownHosts?: KnownHosts;
  /** Default `imgtool`. */
  readonly userAgent?: string;
  /** TLS options for `host[:port]`; default: the system's, verified. */
  readonly tls?: (host: string) => TlsOptions | undefined;
  /** The proxy for a URL, `http:` or `https:`, with user and password where it wants them; default: none. */
  readonly proxy?: (url: URL) => string | undefined;
  /** Told once for each host that is spoken to by plain http or without trust in its certificate; loopback is exempt. */
  readonly warn?: (line: string) => void;
  /** Takes one redacted line for each request and retry (`--log-level debug`). */
  readonly log?: (line: string) => void;
}

/** Sends requests; holds connections and the queue of each host. */
export interface HttpClient {
  /**
   * Sends and reads the body into memory, at most `maxBytes` of it (default 4 MiB; 64 KiB when the status is an error).
   * Any final status resolves. Throws TransportError, AbortError.
   */
  request(request: HttpRequest, options?: { readonly maxBytes?: number }): Promise<BufferedResponse>;
  /** Sends and hands over the body as it comes; a cut or stalled one ends in a TransportError on the stream. */
  stream(request: HttpRequest): Promise<StreamedResponse>;
  /** What was learned about hosts so far. */
  readonly knownHosts: KnownHosts;
  /** Requests sent (each try and each redirect counts) and body bytes received and sent so far. */
  readonly statistics: { readonly requests: number; readonly bytesReceived: number; readonly bytesSent: number };
  /** Drops the idle connections and ends what waits for a host that asked for a pause. */
  close(): Promise<void>;
}
