/** A TCP proxy before a registry that cuts connections after so many bytes from the client. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A running proxy. */
export interface CuttingProxy {
  readonly host: string;
  /** Bytes received from clients so far. */
  readonly received: number;
  /** Cuts still to come; each is used once, by the first connection that sends so much. */
  readonly cuts: number[];
  close(): Promise<void>;
}

/** Starts a proxy for `target` (`127.0.0.1:PORT`); `cuts`: bytes of one connection after which it is destroyed. */
export async function startCuttingProxy(target: string, cuts: readonly number[]): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  const left = [...cuts];
  let received = 0;
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
    client.on('data', (chunk: Buffer) => {
      sent += chunk.length;
      received += chunk.length;
      if (left.length > 0 && sent > left[0]!) {
        upstream.write(chunk.subarray(0, chunk.length - (sent - left[0]!)));
        left.shift();
        client.destroy();
        return;
      }
      if (!upstream.write(chunk)) {
        client.pause();
        upstream.once('drain', () => client.resume());
      }
    });
    upstream.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get received() {
      return received;
    },
    cuts: left,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
