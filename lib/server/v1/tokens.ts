import { randomBytes } from 'node:crypto';
import type { Exchange } from '../exchange.js';
import type { V1Route } from './route.js';
import { v1Error } from './v1-error.js';

type Access = 'read' | 'write' | 'delete';

interface Grant {
  readonly repository: string;
  readonly access: Access;
  /** Images that may be pushed with it: those that were listed. */
  readonly ids: ReadonlySet<string>;
}

const ACCESS: Readonly<Record<string, Access>> = { GET: 'read', PUT: 'write', POST: 'write', DELETE: 'delete' };
/** Older tokens are forgotten. */
const MAX_GRANTS = 10_000;

/**
 * The tokens that the index half of protocol v1 gives to whoever asks, and that the registry half then wants to see
 * (docker-registry toolkit.py): one repository, one kind of access, one method.
 */
export class V1Tokens {
  readonly #grants = new Map<string, Grant>();

  /** Puts a token into the answer, when the request asks for one with `X-Docker-Token`. `ids`: what is to be pushed. */
  give({ request, response }: Exchange, repository: string, ids: readonly string[] = []): void {
    const access = ACCESS[request.method ?? ''];
    if (request.headers['x-docker-token'] !== 'true' || access === undefined) return;
    const signature = randomBytes(16).toString('hex');
    this.#grants.set(signature, { repository, access, ids: new Set(ids) });
    if (this.#grants.size > MAX_GRANTS) this.#grants.delete(this.#grants.keys().next().value!);
    const token = `Token signature=${signature},repository="${repository}",access=${access}`;
    response.setHeader('X-Docker-Token', token);
    response.setHeader('WWW-Authenticate', token);
  }

  /** Lets a request to the registry half pass only with a token for it. Throws RequestError 401, or 400 for an image not listed. */
  require({ request }: Exchange, route: V1Route): void {
    // Clients put `Token ` before what came with it already.
    const text = /^(?:Token\s+)+(.*)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const match = /^signature=([0-9a-f]{32}),repository="([^"]*)",access=(\w+)$/.exec(text.trim());
    const grant = this.#grants.get(match?.[1] ?? '');
    const isFor =
      grant !== undefined &&
      grant.repository === match?.[2] &&
      grant.access === match[3] &&
      // HEAD has no kind of access: so it is with the Python server.
      grant.access === ACCESS[request.method ?? ''] &&
      (!('repository' in route) || route.repository === grant.repository);
    if (!isFor) throw v1Error(401, 'Requires authorization', { 'WWW-Authenticate': 'Token' });
    if (grant.access === 'write' && route.kind === 'json' && !grant.ids.has(route.id))
      throw v1Error(400, 'This image does not belong to the repository');
  }
}
