/** An HTTP proxy before a registry that records every request and how many bytes of body it was answered with. */
import { createServer, request } from 'node:http';
import { listenOnLoopback } from './loopback-server.js';

/** One request; bytes of bodies. */
export interface Recorded {
  readonly method: string;
  readonly path: string;
  status: number;
  received: number;
  sent: number;
}

/** A running proxy; `requests` grows. */
export interface RecordingProxy {
  readonly host: string;
  readonly requests: Recorded[];
  /** An answer in place of the registry's; undefined: that of the registry. */
  intercept?: (method: string, path: string) => { readonly status: number; readonly body?: string } | undefined;
  close(): Promise<void>;
}

/** Starts a proxy for the registry at `target` (`127.0.0.1:PORT`). */
export async function startRecordingProxy(target: string): Promise<RecordingProxy> {
  const [hostname, port] = target.split(':');
  const proxy: Pick<RecordingProxy, 'requests' | 'intercept'> = { requests: [] };
  const server = createServer((incoming, outgoing) => {
    const record: Recorded = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      status: 0,
      received: 0,
      sent: 0,
    };
    proxy.requests.push(record);
    const answer = proxy.intercept?.(record.method, record.path);
    if (answer !== undefined) {
      record.status = answer.status;
      outgoing.writeHead(answer.status).end(answer.body);
      return;
    }
    const forward = request(
      { host: hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
      (response) => {
        record.status = response.statusCode ?? 0;
        outgoing.writeHead(record.status, response.headers);
        response.on('data', (chunk: Buffer) => (record.sent += chunk.length));
        response.pipe(outgoing);
      },
    );
    forward.on('error', () => outgoing.destroy());
    incoming.on('data', (chunk: Buffer) => (record.received += chunk.length));
    incoming.pipe(forward);
  });
  return Object.assign(proxy, await listenOnLoopback(server));
}
