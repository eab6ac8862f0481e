/** An HTTP proxy before a registry that answers some requests itself, with errors that pass. */
import { createServer, request } from 'node:http';
import { listenOnLoopback } from './loopback-server.js';

/** A running proxy; `refused` counts the requests that it answered itself. */
export interface FlakyProxy {
  readonly host: string;
  readonly refused: number;
  close(): Promise<void>;
}

/** Starts a proxy for the registry at `target` (`127.0.0.1:PORT`); `answer` gives the status for the n-th request, or undefined. */
export async function startFlakyProxy(
  target: string,
  answer: (request: number) => number | undefined,
): Promise<FlakyProxy> {
  const [hostname, port] = target.split(':');
  let [count, refused] = [0, 0];
  const server = createServer((incoming, outgoing) => {
    const status = answer(count++);
    if (status !== undefined) {
      refused += 1;
      // The body is taken first, as servers behind a queue do.
      incoming.resume();
      incoming.on('end', () => outgoing.writeHead(status, { 'retry-after': '0' }).end());
      return;
    }
    const { method, url, headers } = incoming;
    const forward = request({ host: hostname, port, method, path: url, headers }, (response) => {
      outgoing.writeHead(response.statusCode!, response.headers);
      response.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    incoming.pipe(forward);
  });
  const { host, close } = await listenOnLoopback(server);
  return {
    host,
    get refused() {
      return refused;
    },
    close,
  };
}
