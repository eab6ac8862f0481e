import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { KnownHosts } from './host-facts.js';

/** Response headers; names are in lower case. */
export type HttpHeaders = IncomingHttpHeaders;

/** The body to send: bytes in memory, or a function that opens a new stream for each attempt. */
export type RequestBody = Uint8Array | (() => Readable);

/** One request, including its redirects and retries. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Absolute, `http:` or `https:`. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** When it is a stream, set `content-length` in `headers`; without it, the body is sent chunked. */
  readonly body?: RequestBody;
  /** The body is meant for this host only: a redirect to another host is an error. */
  readonly secretBody?: boolean;
  /** Present no client certificate. */
  readonly anonymous?: boolean;
  readonly signal: AbortSignal;
  /** Requests with a higher priority start first within the host's limit. Default 0. */
  readonly priority?: number;
  /** Retries after the first attempt; default: the client's. Use 0 for a request that must not be sent twice. */
  readonly retries?: number;
  /** How many of the retries may follow a failure without any response; default: all. */
  readonly connectRetries?: number;
  /** Maximum time in ms from the end of the request to the response headers; default: the client's. */
  readonly responseMs?: number;
}

/** The head of a response with any status. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: HttpHeaders;
  /** The URL after redirects; not redacted. */
  readonly url: string;
}

/** A response whose body is held in memory. */
export interface BufferedResponse extends HttpResponse {
  readonly body: Buffer;
  /** The body exceeded the limit and was cut. */
  readonly truncated: boolean;
}

/** A response to stream. It occupies a slot of the host until `body` ends or is destroyed; the caller must see to either. */
export interface StreamedResponse extends HttpResponse {
  readonly body: Readable;
}

/** The TLS options of one host. Certificates and keys are PEM text. */
export interface TlsOptions {
  /** CAs trusted in addition to the system's. */
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  /** False accepts any certificate. Default true. */
  readonly verify?: boolean;
}

/** Timeouts in milliseconds. None limits the duration of a transfer that makes progress. */
interface HttpTimeouts {
  /** For each of DNS lookup, TCP connection and TLS handshake. Default 15,000. */
  readonly connectMs?: number;
  /** From the end of the request to the response headers. Default 60,000. */
  readonly responseMs?: number;
  /** For a body without progress in either direction. Default 30,000. */
  readonly stallMs?: number;
}

export interface HttpClientOptions {
  /** Concurrent transfers per host. Default 6, minimum 1. */
  readonly parallel?: number;
  /** Retries after the first try of a request. Default 5, minimum 0. */
  readonly retries?: number;
  /** Delay in ms before the first retry; it doubles with each further one. Default 250. */
  readonly backoffBaseMs?: number;
  readonly timeouts?: HttpTimeouts;
  /** Limit for all body bytes of this client, received and sent, in bytes per second. Default: none. */
  readonly limitRate?: number;
  /** A directory in which all processes of the user share the rate limits of hosts; created when needed. Default: not shared. */
  readonly limitsDirectory?: string;
  /** Facts about hosts, to share between clients. Default: the client has its own. */
  readonly knownHosts?: KnownHosts;
  /** Default `imgtool`. */
  readonly userAgent?: string;
  /** Returns the TLS options for `host[:port]`. Default: the system's CAs, verified. */
  readonly tls?: (host: string) => TlsOptions | undefined;
  /** Returns the proxy for a URL (`http:` or `https:`, with user and password where required). Default: none. */
  readonly proxy?: (url: URL) => string | undefined;
  /** Called once for each host that is contacted over plain HTTP or without a verified certificate, except loopback. */
  readonly warn?: (line: string) => void;
  /** Called with one redacted line for each request and retry (`--log-level debug`). */
  readonly log?: (line: string) => void;
}

/** Sends requests. Owns the connections and a queue per host. */
export interface HttpClient {
  /**
   * Sends a request and reads the response body into memory, at most `maxBytes` of it (default 4 MiB; 64 KiB for an
   * error status). Resolves for every final status. Throws TransportError, AbortError.
   */
  request(request: HttpRequest, options?: { readonly maxBytes?: number }): Promise<BufferedResponse>;
  /** Sends a request and returns the response body as a stream. A truncated or stalled body ends the stream with a TransportError. */
  stream(request: HttpRequest): Promise<StreamedResponse>;
  /** The facts learned about hosts so far. */
  readonly knownHosts: KnownHosts;
  /** Totals so far: requests (each attempt and redirect counts) and body bytes. */
  readonly statistics: { readonly requests: number; readonly bytesReceived: number; readonly bytesSent: number };
  /** Closes idle connections and aborts requests that wait out a pause. */
  close(): Promise<void>;
}
