/** A TCP proxy before a registry that cuts connections after so many bytes. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A running proxy. */
export interface CuttingProxy {
  readonly host: string;
  /** Bytes received from clients so far. */
  readonly received: number;
  /** Bytes passed on to the target, and to clients, so far. */
  readonly passed: { readonly up: number; readonly down: number };
  /** Connections cut so far. */
  readonly cut: number;
  /** Cuts still to come; each is used once, by the first connection that sends so much. */
  readonly cuts: number[];
  close(): Promise<void>;
}

/**
 * Starts a proxy for `target` (`127.0.0.1:PORT`); `cuts`: bytes from the client of one connection after which it is destroyed;
 * `each`: bytes of every connection, both directions together, after which it is.
 */
export async function startCuttingProxy(
  target: string,
  cuts: readonly number[],
  { each = Infinity }: { readonly each?: number } = {},
): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  const left = [...cuts];
  let received = 0;
  let cut = 0;
  const passed = { up: 0, down: 0 };
  const [hostname, port] = target.split(':');
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.end();
      });
    }
    let sent = 0;
    let total = 0;
    let over = false;
    const relay = (from: Socket, to: Socket, chunk: Buffer, way: 'up' | 'down'): void => {
      if (over) return;
      const atOnce = way === 'up' ? (left[0] ?? Infinity) - sent : Infinity;
      const allowed = Math.min(chunk.length, atOnce, each - total);
      const part = chunk.subarray(0, allowed);
      if (way === 'up') sent += chunk.length;
      total += part.length;
      passed[way] += part.length;
      const more = to.write(part);
      if (allowed < chunk.length) {
        over = true;
        cut += 1;
        if (allowed === atOnce) left.shift();
        // What was passed on arrives; then both sides see the end.
        if (way === 'up') client.destroy();
        else client.end(() => client.destroy());
      } else if (!more) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    };
    client.on('data', (chunk: Buffer) => {
      received += chunk.length;
      relay(client, upstream, chunk, 'up');
    });
    upstream.on('data', (chunk: Buffer) => relay(upstream, client, chunk, 'down'));
    upstream.on('end', () => client.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get received() {
      return received;
    },
    passed,
    get cut() {
      return cut;
    },
    cuts: left,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
