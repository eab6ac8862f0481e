import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { RequestError } from './request-error.js';
import type { RegistryStorage, RegistryWriter } from './types.js';

/** One request and its response, with the context for handlers. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Set after the request's target has been parsed. */
  query = new URLSearchParams();
  readonly storage: RegistryStorage;
  /** Body bytes received so far. */
  bytesReceived = 0;
  /** Body bytes sent so far. */
  bytesSent = 0;

  constructor(request: IncomingMessage, response: ServerResponse, storage: RegistryStorage) {
    this.request = request;
    this.response = response;
    this.storage = storage;
  }

  /** The writing half of the storage. Throws RequestError when it is read-only. */
  get writer(): RegistryWriter {
    const { writer } = this.storage;
    if (writer === undefined) throw new RequestError(405, 'UNSUPPORTED', 'this registry is read-only');
    return writer;
  }

  /** True when the request may have a body. */
  get hasBody(): boolean {
    return this.contentLength !== 0 || this.request.headers['transfer-encoding'] !== undefined;
  }

  /** The announced length of the body in bytes; undefined for a chunked body, 0 for none. */
  get contentLength(): number | undefined {
    const { 'content-length': length, 'transfer-encoding': encoding } = this.request.headers;
    return encoding === undefined ? Number(length ?? 0) : undefined;
  }

  /**
   * The request's body. The connection stays usable for the response if the iteration ends early. Throws when the
   * connection breaks.
   */
  async *body(): AsyncIterable<Buffer> {
    const chunks = this.request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    for await (const chunk of chunks) {
      this.bytesReceived += chunk.length;
      yield chunk;
    }
  }

  /** Sends a complete response. For HEAD, the body only determines Content-Length. */
  answer(status: number, headers: OutgoingHttpHeaders, body?: string | Buffer): void {
    const bytes = body === undefined ? 0 : Buffer.byteLength(body);
    // RFC 9110, 8.6: 204 has no Content-Length, and 304 could only repeat that of the 200.
    const length = status === 204 || status === 304 ? {} : { 'Content-Length': bytes };
    this.response.writeHead(status, { ...length, ...headers });
    const silent = body === undefined || this.request.method === 'HEAD';
    if (!silent) this.bytesSent += bytes;
    this.response.end(silent ? undefined : body);
  }

  json(value: unknown, headers: OutgoingHttpHeaders = {}): void {
    this.answer(200, { 'Content-Type': 'application/json', ...headers }, JSON.stringify(value));
  }

  /** Reports whether `If-None-Match` names this entity (RFC 9110, 13.1.2). */
  isFresh(etag: string): boolean {
    const header = this.request.headers['if-none-match'];
    return header !== undefined && (header.trim() === '*' || header.split(',').some((tag) => bare(tag) === etag));
  }
}

function bare(tag: string): string {
  return tag.trim().replace(/^W\//, '');
}
