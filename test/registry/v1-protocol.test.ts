import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect } from 'chai';
import { NotFoundError } from '../../lib/errors.js';
import type { HttpClient } from '../../lib/http/index.js';
import { createV1Protocol } from '../../lib/registry/v1/protocol.js';
import { listenOnLoopback } from '../helpers/loopback-server.js';

describe('registry v1: detection', () => {
  it('asks a host again that did not answer at all, and no other one', async () => {
    const paths: string[] = [];
    const server = createServer(({ url }, response) => {
      paths.push(url!);
      response.writeHead(url === '/v1/_ping' ? 200 : 404, { 'content-type': 'application/json' }).end('true');
    });
    const { host, close } = await listenOnLoopback(server);
    await close();
    const v1 = createV1Protocol({
      http: {} as HttpClient,
      httpOptions: { backoffBaseMs: 1 },
      registryVersion: 'auto',
      tlsVerify: () => false,
      credentials: () => Promise.resolve(undefined),
    });
    const { signal } = new AbortController();
    const after = new NotFoundError('no', { kind: 'repository', subject: 'a' });
    const open = () => v1.open({ host, repository: 'a/b' }, { signal, after });
    try {
      expect(await open()).to.equal(undefined);
      server.listen(Number(host.split(':')[1]), '127.0.0.1');
      await once(server, 'listening');
      expect(paths).to.deep.equal([]);
      expect((await open())?.host).to.equal(host);
      const asked = paths.length;
      expect((await open())?.host).to.equal(host);
      expect(paths.length).to.equal(asked);
    } finally {
      await v1.close();
      server.closeAllConnections();
      server.close();
    }
  });
});
