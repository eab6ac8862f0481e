import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../lib/registry/index.js';
import { startScript, type ScriptedServer, type Step } from './scripted-registry.js';

/** Scripted servers and clients of one describe block. */
export interface ScriptedSuite {
  serve(...steps: Step[]): Promise<ScriptedServer>;
  client(options?: RegistryClientOptions): RegistryClient;
}

/** Closes after each test what it started, and then checks that every script was followed to its end. Call in a `describe`. */
export function scriptedSuite(): ScriptedSuite {
  let servers: ScriptedServer[] = [];
  let clients: RegistryClient[] = [];
  afterEach(async () => {
    const [running, open] = [servers, clients];
    [servers, clients] = [[], []];
    for (const client of open) await client.close();
    for (const server of running) await server.close();
    for (const server of running) server.verify();
  });
  return {
    serve: async (...steps) => {
      const server = await startScript(steps);
      servers.push(server);
      return server;
    },
    client: (options = {}) => {
      const client = createRegistryClient({ backoffBaseMs: 5, ...options });
      clients.push(client);
      return client;
    },
  };
}
