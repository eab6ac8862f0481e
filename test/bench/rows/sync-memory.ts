import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchMemory } from '../memory.js';
import type { BenchRow } from '../row.js';

const TAGS = 5000;
const PAGE = 1000;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** A registry of which only tags and HEADs are asked for; counts its requests. */
async function startTagRegistry(count: {
  requests: number;
}): Promise<{ readonly host: string; readonly server: Server }> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://registry');
    const tag = /\/manifests\/(t\d+)$/.exec(url.pathname)?.[1];
    if (url.pathname !== '/v2/') count.requests++;
    if (url.pathname.endsWith('/tags/list')) {
      const first = Number((url.searchParams.get('last') ?? 't-1').slice(1)) + 1;
      const tags = Array.from({ length: Math.min(PAGE, TAGS - first) }, (_, i) => `t${first + i}`);
      const link = first + PAGE < TAGS ? { link: `<${url.pathname}?last=${tags.at(-1)}>; rel="next"` } : {};
      response.writeHead(200, { 'content-type': 'application/json', ...link }).end(JSON.stringify({ name: 'a', tags }));
    } else if (tag !== undefined && request.method === 'HEAD') {
      const digest = `sha256:${createHash('sha256').update(tag).digest('hex')}`;
      const headers = { 'content-type': MANIFEST, 'docker-content-digest': digest, 'content-length': 500 };
      response.writeHead(200, headers).end();
    } else response.writeHead(url.pathname === '/v2/' ? 200 : 404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

/** Peak memory of a sync that finds all of 5,000 tags up to date, and the requests it takes: one HEAD a tag and side. */
export const syncMemory: BenchRow = {
  name: 'sync no-op 5,000 tags',
  unit: 'MB',
  runs: 1,
  participants: (context) =>
    Promise.resolve([
      {
        name: 'imgtool',
        run: async () => {
          const count = { requests: 0 };
          const home = await mkdtemp(join(tmpdir(), 'imgtool-sync-memory-'));
          const registries = await Promise.all([startTagRegistry(count), startTagRegistry(count)]);
          try {
            const [source, target] = registries.map(({ host }) => `${host}/team/app`);
            const child = spawn(context.imgtool, ['--progress', 'none', 'sync', source!, target!], {
              stdio: ['ignore', 'ignore', 'inherit'],
              env: { ...process.env, XDG_CACHE_HOME: home, XDG_STATE_HOME: home },
            });
            const memory = watchMemory(child.pid!);
            const [code] = (await once(child, 'exit')) as [number | null];
            const peak = memory.stop();
            if (code !== 0) throw new Error(`sync ended with ${code}`);
            return { value: peak / 1e6, counts: { requests: count.requests } };
          } finally {
            for (const { server } of registries) {
              server.closeAllConnections();
              server.close();
            }
            await rm(home, { recursive: true });
          }
        },
      },
    ]),
};
