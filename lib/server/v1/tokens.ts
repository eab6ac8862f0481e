import { randomBytes } from 'node:crypto';
import type { Exchange } from '../exchange.js';
import type { V1Route } from './route.js';
import { v1Error } from './v1-error.js';

type Access = 'read' | 'write' | 'delete';

interface Grant {
  readonly repository: string;
  readonly access: Access;
  /** The announced images, which may be pushed with this token. */
  readonly ids: ReadonlySet<string>;
}

const ACCESS: Readonly<Record<string, Access>> = { GET: 'read', PUT: 'write', POST: 'write', DELETE: 'delete' };
/** The most tokens remembered; older ones are dropped. */
const MAX_GRANTS = 10_000;
/** The most images announced for all tokens together; about 100 bytes each. */
const MAX_LISTED = 500_000;

/**
 * The tokens that the index half of protocol v1 issues: docker 0.6 to 1.6 cannot push without one. If they are
 * required, the registry half accepts a token (docker-registry toolkit.py) for one repository, one kind of access and
 * one method.
 */
export class V1Tokens {
  readonly #isRequired: boolean;
  /** Oldest first; empty when tokens are not required. */
  readonly #grants = new Map<string, Grant>();
  /** Number of images in all grants. */
  #listed = 0;

  constructor({ required }: { readonly required: boolean }) {
    this.#isRequired = required;
  }

  /** Adds a token to the response if the request asks for one with `X-Docker-Token`. `ids`: the images to push. */
  give({ request, response }: Exchange, repository: string, ids: readonly string[] = []): void {
    const access = ACCESS[request.method ?? ''];
    if (request.headers['x-docker-token'] !== 'true' || access === undefined) return;
    const signature = randomBytes(16).toString('hex');
    if (this.#isRequired) this.#remember(signature, { repository, access, ids: new Set(ids) });
    const token = `Token signature=${signature},repository="${repository}",access=${access}`;
    response.setHeader('X-Docker-Token', token);
    response.setHeader('WWW-Authenticate', token);
  }

  /** Checks that a request to the registry half has a matching token. Throws RequestError 401, or 400 for an unannounced image. */
  require({ request }: Exchange, route: V1Route): void {
    if (!this.#isRequired) return;
    // Some clients prepend `Token ` to a value that already has it.
    const text = /^(?:Token\s+)+(.*)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const match = /^signature=([0-9a-f]{32}),repository="([^"]*)",access=(\w+)$/.exec(text.trim());
    const grant = this.#grants.get(match?.[1] ?? '');
    const isFor =
      grant !== undefined &&
      grant.repository === match?.[2] &&
      grant.access === match[3] &&
      // HEAD has no kind of access, as in the Python server.
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
