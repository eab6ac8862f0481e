/**
 * A strict registry of protocol v1 in memory, with the habits of the Python server (docker-registry 0.9.1). What a client must
 * not do is written down as a fault; `verify` throws when there was one.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An image as the server holds it. */
export interface V1Stored {
  json: Buffer;
  layer: Buffer | undefined;
  /** Payload checksum; undefined while it is being uploaded. */
  checksum: string | undefined;
  tarSum: string | undefined;
}

/** A request as it arrived. */
export interface V1Seen {
  readonly method: string;
  /** After `/v1/`. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** How a server differs from the plain standalone one. */
export interface V1RegistryOptions {
  /** Tokens of the index are wanted at images and tags. */
  readonly tokens?: 'plain' | 'doubled';
  /** User and password, separated by `:`, for the index. */
  readonly login?: string;
  /** Reads of images want the cookie of `GET repositories/R/images`; checksums that of the layer. */
  readonly cookies?: boolean;
  /** `X-Docker-Endpoints`; `none`: no such header. Default: the server itself. */
  readonly endpoints?: (own: string) => readonly string[] | 'none';
  /** No checksum headers on JSON, as the Go server. */
  readonly noChecksums?: boolean;
  /** Also answers `GET /v2/` as a v2 registry. */
  readonly alsoV2?: boolean;
  /** Answers a request in place of the server, or not (false). */
  readonly intercept?: (seen: V1Seen, response: ServerResponse) => boolean | Promise<boolean>;
  /** Called before each answer: to delay it. */
  readonly pause?: (seen: V1Seen) => Promise<void>;
}

/** The payload checksum of an image. */
export function payloadOf(json: Buffer, layer: Buffer): string {
  return `sha256:${createHash('sha256').update(json).update('\n').update(layer).digest('hex')}`;
}

/** A running server; its state is open to tests. */
export class V1Registry {
  readonly images = new Map<string, V1Stored>();
  /** Tags by repository with its namespace. */
  readonly tags = new Map<string, Map<string, string>>();
  /** IDs the index was told of, by repository. */
  readonly index = new Map<string, Set<string>>();
  readonly requests: V1Seen[] = [];
  readonly faults: string[] = [];
  readonly #options: V1RegistryOptions;
  readonly #server;
  readonly #tokens = new Map<string, { repository: string; access: string }>();
  readonly #cookie = `session=${randomBytes(8).toString('hex')}`;
  #layerCookie: string | undefined;

  private constructor(options: V1RegistryOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  static async start(options: V1RegistryOptions = {}): Promise<V1Registry> {
    const registry = new V1Registry(options);
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  /** `127.0.0.1:PORT`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Adds a chain of images, root first, and a tag for the last one. */
  add(
    repository: string,
    tag: string,
    chain: readonly { readonly id: string; readonly layer: Buffer; readonly json?: object; readonly tarSum?: string }[],
  ): void {
    chain.forEach(({ id, layer, json, tarSum }, at) => {
      const parent = chain[at - 1]?.id;
      const document = { id, ...(parent === undefined ? {} : { parent }), os: 'linux', architecture: 'amd64', ...json };
      const bytes = Buffer.from(JSON.stringify(document));
      this.images.set(id, { json: bytes, layer, checksum: payloadOf(bytes, layer), tarSum });
    });
    const tags = this.tags.get(repository) ?? new Map<string, string>();
    this.tags.set(repository, tags.set(tag, chain.at(-1)!.id));
    const known = this.index.get(repository) ?? new Set<string>();
    this.index.set(repository, new Set([...known, ...chain.map(({ id }) => id)]));
  }

  /** Paths of the requests of one method so far. */
  paths(method: string): string[] {
    return this.requests.filter((seen) => seen.method === method).map(({ path }) => path);
  }

  verify(): void {
    if (this.faults.length > 0) throw new Error(this.faults.join('; '));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { method = '', url = '', headers } = request;
    const seen: V1Seen = { method, path: url.replace(/^\/v1\//, ''), headers, body: Buffer.concat(chunks) };
    this.requests.push(seen);
    await this.#options.pause?.(seen);
    if ((await this.#options.intercept?.(seen, response)) === true) return;
    if (url.startsWith('/v2/')) {
      const v2 = this.#options.alsoV2 === true ? { 'docker-distribution-api-version': 'registry/2.0' } : {};
      response.writeHead(this.#options.alsoV2 === true && url === '/v2/' ? 200 : 404, v2).end('not found');
      return;
    }
    this.#judge(seen);
    this.#answer(seen, response);
  }

  /** What no client should do. */
  #judge({ method, path, headers, body }: V1Seen): void {
    const fault = (what: string): void => void this.faults.push(`${method} ${path}: ${what}`);
    if (method === 'HEAD') fault('HEAD is not part of this protocol');
    if ('if-modified-since' in headers) fault('If-Modified-Since is always answered 304');
    if (!/^docker\/\d+\.\d+\.\d+/.test(headers['user-agent'] ?? '')) fault('the User-Agent is not that of a docker');
    const json = method === 'PUT' && /\/json$|^repositories\//.test(path);
    if (json && headers['content-type'] !== 'application/json') fault('JSON without its Content-Type');
    if (/layer$/.test(path) && method === 'PUT') {
      if (headers['content-type'] !== 'application/octet-stream') fault('a layer that is no octet-stream');
      if (headers['transfer-encoding'] !== 'chunked') fault('a layer that is not chunked');
    }
    if (/checksum$/.test(path) && (body.length > 0 || headers['content-length'] !== '0'))
      fault('a checksum that is not said to be without a body');
  }

  #answer(seen: V1Seen, response: ServerResponse): void {
    const { method, path } = seen;
    const error = (status: number, text: string, more: Record<string, string> = {}): void =>
      void response
        .writeHead(status, { 'content-type': 'application/json', ...more })
        .end(JSON.stringify({ error: text }));
    const ok = (body: unknown, more: Record<string, string | string[]> = {}, status = 200): void =>
      void response
        .writeHead(status, { 'content-type': 'application/json', ...more })
        .end(Buffer.isBuffer(body) ? body : status === 204 ? undefined : JSON.stringify(body));
    if (path === '_ping')
      return ok('', { 'x-docker-registry-version': '0.9.1', 'x-docker-registry-standalone': 'True' });
    const repository = /^repositories\/([^/]+\/[^/]+)\/(.*)$/.exec(path);
    const image = /^images\/([^/]+)\/(json|ancestry|layer|checksum)$/.exec(path);
    if (path.startsWith('search?')) return this.#search(path, ok);
    if (path === 'users/') {
      const { login } = this.#options;
      if (login === undefined || basicOf(seen) === login) return ok('OK');
      return error(401, 'Wrong login', { 'www-authenticate': 'Basic realm="x"' });
    }
    if (repository !== null && (repository[2] === '' || repository[2] === 'images')) {
      return this.#indexRequest(seen, repository[1]!, { ok, error });
    }
    const refusal = this.#refusal(seen, repository?.[1]);
    if (refusal !== undefined) return error(401, refusal, { 'www-authenticate': 'Token' });
    if (repository !== null) return this.#tag(seen, repository[1]!, repository[2]!, { ok, error });
    if (image === null) return error(404, 'no such page');
    const [, id = '', what = ''] = image;
    if (!/^[0-9a-f]{64}$/.test(id)) return error(404, 'Invalid image ID');
    if (method === 'PUT') return this.#put(seen, id, what, { ok, error });
    const stored = this.images.get(id);
    if (stored === undefined) return error(404, 'Image not found');
    if (stored.checksum === undefined) return error(400, 'Image is being uploaded, retry later');
    if (what === 'ancestry') return ok(this.#ancestry(id));
    if (what === 'json') return ok(stored.json, this.#jsonHeaders(stored));
    if (what === 'layer') return this.#layer(seen, stored, response);
    return error(404, 'no such page');
  }

  #jsonHeaders({ layer, checksum, tarSum }: V1Stored): Record<string, string> {
    if (this.#options.noChecksums === true) return {};
    return {
      'x-docker-size': String(layer?.length ?? 0),
      ...(checksum === undefined || tarSum !== undefined ? {} : { 'x-docker-checksum-payload': checksum }),
      ...(tarSum === undefined ? {} : { 'x-docker-checksum': tarSum }),
    };
  }

  #ancestry(id: string): string[] {
    const list: string[] = [];
    for (let at: string | undefined = id; at !== undefined && list.length < 2000;) {
      list.push(at);
      at = (JSON.parse(this.images.get(at)?.json.toString() ?? '{}') as { parent?: string }).parent;
    }
    return list;
  }

  #search(path: string, ok: (body: unknown) => void): void {
    const query = new URLSearchParams(path.slice('search?'.length));
    const names = [...this.tags.keys()].filter((name) => name.includes(query.get('q') ?? ''));
    const size = Number(query.get('n') ?? 25);
    const page = Number(query.get('page') ?? 1);
    const results = names
      .slice((page - 1) * size, page * size)
      .map((name) => ({ name, description: `about\n${name}` }));
    ok({ query: query.get('q'), num_results: names.length, results, num_pages: Math.ceil(names.length / size), page });
  }

  #indexRequest(seen: V1Seen, repository: string, { ok, error }: Answers): void {
    const { method, path, headers, body } = seen;
    const { login, tokens, cookies } = this.#options;
    if (login !== undefined && basicOf(seen) !== login)
      return error(401, 'Unauthorized', { 'www-authenticate': 'Basic realm="x"' });
    if (headers['x-docker-token'] !== 'true') this.faults.push(`${method} ${path}: asks for no token`);
    const endpoints = this.#options.endpoints?.(this.host) ?? [this.host];
    const more: Record<string, string> = {
      ...(endpoints === 'none' ? {} : { 'x-docker-endpoints': endpoints.join(', ') }),
      ...(cookies === true ? { 'set-cookie': `${this.#cookie}; Path=/; HttpOnly` } : {}),
    };
    if (tokens !== undefined) {
      const signature = randomBytes(8).toString('hex');
      this.#tokens.set(signature, { repository, access: method === 'GET' ? 'read' : 'write' });
      const token = `signature=${signature},repository="${repository}",access=${method === 'GET' ? 'read' : 'write'}`;
      more['x-docker-token'] = tokens === 'doubled' ? `Token ${token}` : token;
    }
    if (method === 'GET') {
      const ids = this.index.get(repository);
      return ids === undefined
        ? error(404, 'images not found', more)
        : ok(
            [...ids].map((id) => ({ id })),
            more,
          );
    }
    if (method !== 'PUT') return error(405, 'no such method');
    let list: unknown;
    try {
      list = JSON.parse(body.toString());
    } catch {
      return error(400, 'Invalid data');
    }
    if (!Array.isArray(list)) return error(400, 'Invalid data');
    const ids = this.index.get(repository) ?? new Set<string>();
    for (const { id } of list as { id: string }[]) ids.add(id);
    this.index.set(repository, ids);
    return path.endsWith('/images') ? ok('', more, 204) : ok('', more);
  }

  #refusal({ method, headers, path }: V1Seen, repository: string | undefined): string | undefined {
    if (this.#options.cookies === true && method === 'GET' && !(headers.cookie ?? '').includes(this.#cookie)) {
      this.faults.push(`${method} ${path}: comes without the cookie of the index`);
      return 'no session';
    }
    if (this.#options.tokens === undefined) return undefined;
    const sent = headers.authorization ?? '';
    const signature = /^Token (?:Token )?signature=([0-9a-f]+)/.exec(sent)?.[1];
    const token = signature === undefined ? undefined : this.#tokens.get(signature);
    if (token === undefined) return 'Requires authorization';
    if (repository !== undefined && token.repository !== repository) return 'token for another repository';
    return (method === 'GET' ? 'read' : 'write') === token.access ? undefined : 'Access denied';
  }

  #tag({ method, body }: V1Seen, repository: string, rest: string, { ok, error }: Answers): void {
    const tags = this.tags.get(repository);
    if (method === 'GET' && rest === 'tags') {
      return tags === undefined ? error(404, 'Repository not found') : ok(Object.fromEntries(tags));
    }
    const tag = /^tags\/(.+)$/.exec(rest)?.[1];
    if (tag === undefined) return error(404, 'no such page');
    if (method === 'GET') return tags?.has(tag) === true ? ok(tags.get(tag)) : error(404, 'Tag not found');
    if (method === 'DELETE') return tags?.delete(tag) === true ? ok(true) : error(404, 'Tag not found');
    const id: unknown = JSON.parse(body.toString());
    if (typeof id !== 'string') return error(400, 'Invalid data');
    if (this.images.get(id)?.checksum === undefined) return error(404, 'Image not found');
    this.tags.set(repository, (tags ?? new Map<string, string>()).set(tag, id));
    return ok(true);
  }

  #put({ headers, body, path }: V1Seen, id: string, what: string, { ok, error }: Answers): void {
    const stored = this.images.get(id);
    if (what === 'json') {
      if (stored?.checksum !== undefined) return error(409, 'Image already exists');
      const document = JSON.parse(body.toString()) as { id?: string; parent?: string };
      if (document.id !== id) return error(400, 'Invalid JSON: the id differs');
      if (![...this.index.values()].some((ids) => ids.has(id)))
        return error(400, 'This image does not belong to the repository');
      if (document.parent !== undefined && this.images.get(document.parent)?.checksum === undefined)
        return error(400, 'Image depends on a non existing parent');
      this.images.set(id, { json: body, layer: undefined, checksum: undefined, tarSum: undefined });
      return ok(true);
    }
    if (stored === undefined) return error(404, 'Image not found');
    if (stored.checksum !== undefined)
      return error(409, what === 'layer' ? 'Image already exists' : 'Cannot set this image checksum');
    if (what === 'layer') {
      stored.layer = body;
      this.#layerCookie = `layer=${randomBytes(4).toString('hex')}`;
      return ok(true, this.#options.cookies === true ? { 'set-cookie': this.#layerCookie } : {});
    }
    if (stored.layer === undefined) return error(500, 'no layer');
    if (this.#options.cookies === true && !(headers.cookie ?? '').includes(this.#layerCookie ?? '-'))
      return error(400, 'Checksum not found in Cookie');
    const payload = headers['x-docker-checksum-payload'];
    if (payload === undefined) return error(412, 'X-Docker-Checksum-Payload is missing');
    if (!/^tarsum\+sha256:[0-9a-f]{64}$/.test(String(headers['x-docker-checksum'])))
      this.faults.push(`PUT ${path}: has no TarSum`);
    const actual = payloadOf(stored.json, stored.layer);
    if (payload !== actual) return error(400, 'Checksum mismatch, ignoring the layer');
    stored.checksum = actual;
    return ok(true);
  }

  /** Ranges as the Python server has them: an end that is open or one too high makes the length one too large. */
  #layer({ headers, path }: V1Seen, { layer = Buffer.alloc(0) }: V1Stored, response: ServerResponse): void {
    const type = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes' };
    const { range } = headers;
    if (layer.length === 0) return void response.writeHead(416).end();
    if (range === undefined)
      return void response.writeHead(200, { ...type, 'content-length': layer.length }).end(layer);
    const [, first = '', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
    const [start, end] = [Number(first), last === '' ? layer.length : Number(last)];
    if (end >= layer.length) this.faults.push(`GET ${path}: ${range} ends behind the last byte`);
    if (end <= start) return void response.writeHead(416).end();
    const body = layer.subarray(start, end + 1);
    const length = end - start + 1;
    response.writeHead(206, { ...type, 'content-length': length, 'content-range': `${start}-${end}/${layer.length}` });
    response.write(body);
    if (body.length === length) response.end();
  }
}

/** User and password of a request, separated by `:`. */
function basicOf({ headers }: V1Seen): string {
  return Buffer.from(headers.authorization?.replace(/^Basic /, '') ?? '', 'base64').toString();
}

interface Answers {
  readonly ok: (body: unknown, more?: Record<string, string | string[]>, status?: number) => void;
  readonly error: (status: number, text: string, more?: Record<string, string>) => void;
}
