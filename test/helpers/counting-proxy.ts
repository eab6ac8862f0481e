/** A slow HTTP proxy before a registry: paces bodies and counts what of each blob is sent, per request. */
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenOnLoopback } from './loopback-server.js';

/** One GET of a blob. */
export interface BlobTransfer {
  readonly digest: string;
  /** First byte asked for. */
  readonly offset: number;
  /** Bytes written to the socket so far. */
  sent: number;
}

/** A running proxy; `transfers` grows with each blob request. */
export interface CountingProxy {
  readonly host: string;
  readonly transfers: BlobTransfer[];
  /** While true no more bytes of blobs are sent: what goes to a process while it dies is lost, and nobody could say how much. */
  held: boolean;
  close(): Promise<void>;
}

const PIECE = 64 * 1024;

/** Starts a proxy for the registry at `target` (`127.0.0.1:PORT`) that waits `pauseMs` after each 64 KiB of a blob. */
export async function startCountingProxy(target: string, pauseMs: number): Promise<CountingProxy> {
  const [hostname, port] = target.split(':');
  const server = createServer((incoming, outgoing) => {
    const forward = request(
      { host: hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
      (response) => void relay(incoming, response, outgoing, proxy, pauseMs),
    );
    forward.on('error', () => outgoing.destroy());
    incoming.pipe(forward);
  });
  const { host, close } = await listenOnLoopback(server);
  const proxy: CountingProxy = { host, transfers: [], held: false, close };
  return proxy;
}

async function relay(
  incoming: IncomingMessage,
  response: IncomingMessage,
  outgoing: ServerResponse,
  proxy: CountingProxy,
  pauseMs: number,
): Promise<void> {
  outgoing.writeHead(response.statusCode ?? 502, response.headers);
  const digest = incoming.method === 'GET' ? /\/blobs\/(sha256:[0-9a-f]{64})/.exec(incoming.url ?? '')?.[1] : undefined;
  if (digest === undefined) return void response.pipe(outgoing);
  const offset = response.statusCode === 206 ? Number(/bytes=(\d+)-/.exec(incoming.headers.range ?? '')?.[1] ?? 0) : 0;
  const transfer: BlobTransfer = { digest, offset, sent: 0 };
  proxy.transfers.push(transfer);
  try {
    for await (const chunk of response)
      for (let start = 0; start < (chunk as Buffer).length; start += PIECE) {
        const piece = (chunk as Buffer).subarray(start, start + PIECE);
        while (proxy.held && !outgoing.destroyed) await sleep(2);
        if (outgoing.destroyed) return;
        if (!outgoing.write(piece)) await drained(outgoing);
        transfer.sent += piece.length;
        if (pauseMs > 0) await sleep(pauseMs);
      }
    outgoing.end();
  } catch {
    outgoing.destroy();
  }
}

/** Resolves when `outgoing` takes more or is closed; leaves no listener behind. */
export async function drained(outgoing: ServerResponse): Promise<void> {
  const done = new AbortController();
  try {
    await Promise.race(['drain', 'close'].map((event) => once(outgoing, event, { signal: done.signal })));
  } finally {
    done.abort();
  }
}
