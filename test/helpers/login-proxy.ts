/** A reverse proxy that wants a user name and a password (Basic), before a registry that wants none. */
import { createServer, request } from 'node:http';
import { listenOnLoopback, type LoopbackServer } from './loopback-server.js';

/** Starts a proxy for the registry at `target` (`127.0.0.1:PORT`); `login` is `USER:PASSWORD`. */
export function startLoginProxy(target: string, login: string): Promise<LoopbackServer> {
  const [hostname, port] = target.split(':');
  const wanted = `Basic ${Buffer.from(login).toString('base64')}`;
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    if (headers.authorization !== wanted) {
      incoming.resume();
      outgoing.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
      return;
    }
    const forward = request({ hostname, port, method, path: url, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    incoming.pipe(forward);
  });
  return listenOnLoopback(server);
}
