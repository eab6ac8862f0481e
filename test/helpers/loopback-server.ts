/** Puts an HTTP server on a free loopback port. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that answers. */
export interface LoopbackServer {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Ends it and all its connections. */
  readonly close: () => Promise<void>;
}

/** Starts `server`; close it when done. */
export async function listenOnLoopback(server: Server): Promise<LoopbackServer> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
