import { deleteBlob, getBlob } from './blob-handlers.js';
import type { Exchange } from './exchange.js';
import { listReferrers, listRepositories, listTags } from './listing-handlers.js';
import { deleteManifest, getManifest, putManifest } from './manifest-handlers.js';
import { RequestError } from './request-error.js';
import type { Route } from './route.js';
import { cancelUpload, finishUpload, getUpload, patchUpload, startUpload } from './upload-handlers.js';

type Handler = () => Promise<void> | void;

/** Serves one request according to the endpoint table of distribution-spec 1.1. Throws RequestError for an unsupported method. */
export async function dispatch(exchange: Exchange, route: Route): Promise<void> {
  const methods = methodsOf(exchange, route);
  const method = exchange.request.method === 'HEAD' ? 'GET' : (exchange.request.method ?? '');
  const handler = methods[method];
  if (handler === undefined) {
    const allowed = Object.keys(methods).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]));
    throw new RequestError(405, 'UNSUPPORTED', 'the operation is unsupported', {
      headers: { Allow: allowed.join(', ') },
    });
  }
  await handler();
}

function methodsOf(exchange: Exchange, route: Route): Partial<Record<string, Handler>> {
  switch (route.kind) {
    case 'base':
      return { GET: () => exchange.json({}) };
    case 'catalog':
      return { GET: () => listRepositories(exchange) };
    case 'tags':
      return { GET: () => listTags(exchange, route.repository) };
    case 'referrers':
      return { GET: () => listReferrers(exchange, route.repository, route.digest) };
    case 'manifest':
      return {
        GET: () => getManifest(exchange, route.repository, route.key),
        PUT: () => putManifest(exchange, route.repository, route.key),
        DELETE: () => deleteManifest(exchange, route.repository, route.key),
      };
    case 'blob':
      return {
        GET: () => getBlob(exchange, route.repository, route.digest),
        DELETE: () => deleteBlob(exchange, route.repository, route.digest),
      };
    case 'uploads':
      return { POST: () => startUpload(exchange, route.repository) };
    case 'upload':
      return {
        GET: () => getUpload(exchange, route.repository, route.id),
        PATCH: () => patchUpload(exchange, route.repository, route.id),
        PUT: () => finishUpload(exchange, route.repository, route.id),
        DELETE: () => cancelUpload(exchange, route.repository, route.id),
      };
  }
}
