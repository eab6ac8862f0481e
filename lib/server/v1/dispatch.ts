import type { Exchange } from '../exchange.js';
import { getAncestry, getJson, getLayer, putChecksum, putJson, putLayer } from './image-handlers.js';
import type { V1Images } from './images.js';
import {
  deleteRepository,
  deleteTag,
  getIndex,
  getTag,
  getTags,
  putIndex,
  putTag,
  search,
} from './repository-handlers.js';
import { parseV1Target, type V1Route } from './route.js';
import type { V1Tokens } from './tokens.js';
import { v1Error } from './v1-error.js';

/** The routes of the index half, which issues tokens and requires none. */
const INDEX: ReadonlySet<V1Route['kind']> = new Set(['ping', 'users', 'search', 'repository', 'index', 'access']);

type Handler = () => Promise<void> | void;

/** The last Python server's answer for a repository to which no docker client had pushed. */
const NO_DETAILS = {
  last_update: null,
  docker_version: null,
  docker_go_version: null,
  arch: 'amd64',
  os: 'linux',
  kernel: null,
};

/**
 * Serves one request of Docker's registry protocol v1 as a standalone registry: index and registry in one. If tokens
 * are required, the registry half accepts those that the index half issued. Throws RequestError.
 */
export async function dispatchV1(exchange: Exchange, images: V1Images, tokens: V1Tokens): Promise<void> {
  const { route, query } = parseV1Target(exchange.request.url ?? '');
  exchange.query = query;
  exchange.response.setHeader('X-Docker-Registry-Version', '0.9.1');
  exchange.response.setHeader('X-Docker-Registry-Standalone', 'True');
  const methods = methodsOf(exchange, { images, tokens }, route);
  const method = exchange.request.method === 'HEAD' ? 'GET' : (exchange.request.method ?? '');
  const handler = methods[method];
  if (handler === undefined) throw v1Error(405, 'Method not allowed', { Allow: Object.keys(methods).join(', ') });
  const isIndex = INDEX.has(route.kind) && !(route.kind === 'repository' && method === 'DELETE');
  if (!isIndex) tokens.require(exchange, route);
  await handler();
}

function methodsOf(
  exchange: Exchange,
  { images, tokens }: { readonly images: V1Images; readonly tokens: V1Tokens },
  route: V1Route,
): Partial<Record<string, Handler>> {
  switch (route.kind) {
    case 'ping':
      return { GET: () => exchange.json(true) };
    case 'users':
      // Accepts everybody, because there are no accounts.
      return { GET: () => exchange.json('OK'), POST: () => exchange.answer(201, {}, 'User created') };
    case 'search':
      return { GET: () => search(exchange) };
    case 'repository':
      return {
        PUT: () => putIndex(exchange, 200, (ids) => tokens.give(exchange, route.repository, ids)),
        DELETE: () => deleteRepository(exchange, images, route.repository),
      };
    case 'index':
      return {
        GET: () => {
          tokens.give(exchange, route.repository);
          return getIndex(exchange, images, route.repository);
        },
        PUT: () => putIndex(exchange, 204, (ids) => tokens.give(exchange, route.repository, ids)),
        DELETE: () => {
          tokens.give(exchange, route.repository);
          exchange.answer(204, {});
        },
      };
    case 'tags':
      return {
        GET: () => getTags(exchange, images, route.repository),
        DELETE: () => deleteRepository(exchange, images, route.repository),
      };
    case 'tag':
      return {
        GET: () => getTag(exchange, images, route.repository, route.tag),
        PUT: () => putTag(exchange, images, route.repository, route.tag),
        DELETE: () => deleteTag(exchange, route.repository, route.tag),
      };
    case 'details':
    case 'tag-details':
      return { GET: () => exchange.json(NO_DETAILS) };
    case 'access':
      return { GET: () => exchange.json({ access: true }) };
    case 'json':
      return {
        GET: () => getJson(exchange, images, route.id),
        PUT: () => putJson(exchange, images, route.id),
      };
    case 'layer':
      return {
        GET: () => getLayer(exchange, images, route.id),
        PUT: () => putLayer(exchange, route.id),
      };
    case 'checksum':
      return { PUT: () => putChecksum(exchange, route.id) };
    case 'ancestry':
      return { GET: () => getAncestry(exchange, images, route.id) };
  }
}
