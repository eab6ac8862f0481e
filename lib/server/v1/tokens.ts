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
/** Images listed for all tokens together; about 100 bytes each. */
const MAX_LISTED = 500_000;

/**
 * The tokens that the index half of protocol v1 gives to each client: docker 0.6 to 1.6 cannot push without one. Where they are
 * required, the registry half lets in what comes with one (docker-registry toolkit.py): one repository, one kind of access, one
 * method.
 */
export class V1Tokens {
  readonly #isRequired: boolean;
  /** Oldest first; empty where none is required. */
  readonly #grants = new Map<string, Grant>();
  /** Images of all grants. */
  #listed = 0;

  constructor({ required }: { readonly required: boolean }) {
    this.#isRequired = required;
  }

  /** Puts a token into the answer, when the request asks for one with `X-Docker-Token`. `ids`: what is to be pushed. */
  give({ request, response }: Exchange, repository: string, ids: readonly string[] = []): void {
    const access = ACCESS[request.method ?? ''];
    if (request.headers['x-docker-token'] !== 'true' || access === undefined) return;
    const signature = randomBytes(16).toString('hex');
    if (this.#isRequired) this.#remember(signature, { repository, access, ids: new Set(ids) });
    const token = `Token signature=${signature},repository="${repository}",access=${access}`;
    response.setHeader('X-Docker-Token', token);
    response.setHeader('WWW-Authenticate', token);
  }

  /** Lets a request to the registry half pass only with a token for it. Throws RequestError 401, or 400 for an image not listed. */
  require({ request }: Exchange, route: V1Route): void {
    if (!this.#isRequired) return;
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

  #remember(signature: string, grant: Grant): void {
    this.#grants.set(signature, grant);
    this.#listed += grant.ids.size;
    for (const [oldest, { ids }] of this.#grants) {
      if (this.#grants.size <= MAX_GRANTS && this.#listed <= MAX_LISTED) break;
      this.#grants.delete(oldest);
      this.#listed -= ids.size;
    }
  }
}
