/** A token service of distribution's "token/jwt" and "token/oauth" that docker-registry trusts. */
import { createPrivateKey, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request for a token. */
export interface TokenAsked {
  readonly method: string;
  /** Sorted. */
  readonly scopes: readonly string[];
  /** Whose credentials were right; undefined for anonymous. */
  readonly user: string | undefined;
  /** What was given out; undefined for a refusal. */
  readonly token: string | undefined;
}

/** Options of `startTokenServer`. */
export interface TokenServerOptions {
  /** PEM; the registry has the certificate as `rootcertbundle`. */
  readonly key: string;
  readonly cert: string;
  /** Passwords by user. */
  readonly users: Readonly<Record<string, string>>;
  /** Refresh tokens by user; given to who asks for one. */
  readonly refreshTokens?: Readonly<Record<string, string>>;
  /** What is granted of the actions asked for. */
  readonly grant: (user: string | undefined, repository: string, actions: readonly string[]) => readonly string[];
}

/** A running token service. */
export interface TokenServer {
  readonly realm: string;
  readonly service: string;
  readonly asked: TokenAsked[];
  /** Seconds a token is good for at the registry; 300 at first. */
  lifetime: number;
  /** Answers requests itself while it is set; what it returns true for is done. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

/** docker-registry takes tokens until so long after their end. Seconds. */
const LEEWAY = 60;

/** Starts a token service on a free loopback port. */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const key = createPrivateKey(options.key);
  const chain = [new X509Certificate(options.cert).raw.toString('base64')];
  const service = 'test registry, "quoted"';
  const asked: TokenAsked[] = [];
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (made.intercept?.(request, response) === true) return;
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const query = new URL(request.url ?? '/', 'http://x').searchParams;
    const form = request.method === 'POST' ? new URLSearchParams(Buffer.concat(chunks).toString()) : query;
    const scopes = form
      .getAll('scope')
      .flatMap((scope) => scope.split(' '))
      .filter((scope) => scope !== '')
      .sort();
    const who = request.method === 'POST' ? userOfForm(form) : userOfHeader(request.headers.authorization);
    const method = request.method ?? '';
    if (who === false || form.get('service') !== service) {
      asked.push({ method, scopes, user: undefined, token: undefined });
      response.writeHead(request.method === 'POST' ? 400 : 401).end('{"error":"invalid_grant"}');
      return;
    }
    const token = makeToken(who, scopes);
    asked.push({ method, scopes, user: who, token });
    response.writeHead(200, { 'content-type': 'application/json', 'set-cookie': 'token=cookie-secret' });
    const refresh =
      form.get('offline_token') === 'true' && who !== undefined ? options.refreshTokens?.[who] : undefined;
    const more = refresh === undefined ? {} : { refresh_token: refresh };
    response.end(JSON.stringify({ token, access_token: token, expires_in: made.lifetime, ...more }));
  };
  const userOfHeader = (header: string | undefined): string | undefined | false => {
    if (header === undefined) return undefined;
    const [user = '', password] = Buffer.from(header.replace(/^Basic /, ''), 'base64')
      .toString()
      .split(/:(.*)/s);
    return options.users[user] === password && user;
  };
  const userOfForm = (form: URLSearchParams): string | false => {
    const given = form.get('grant_type') === 'refresh_token' ? form.get('refresh_token') : null;
    return Object.entries(options.refreshTokens ?? {}).find(([, token]) => token === given)?.[0] ?? false;
  };
  const makeToken = (user: string | undefined, scopes: readonly string[]): string => {
    // Seconds in claims are whole: a token lives at least as long as it says.
    const now = Math.ceil(Date.now() / 1000);
    const access = scopes.flatMap((scope) => {
      const [type = '', name = '', actions = ''] = scope.split(':');
      const granted = options.grant(user, name, actions.split(','));
      return granted.length === 0 ? [] : [{ type, name, actions: granted }];
    });
    const times = { iat: now - 2 * LEEWAY, nbf: now - 2 * LEEWAY, exp: now + made.lifetime - LEEWAY };
    const jti = String(asked.length);
    return signToken(key, chain, { iss: 'test', sub: user ?? '', aud: service, ...times, jti, access });
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const made: TokenServer = {
    realm: `http://127.0.0.1:${port}/token`,
    service,
    asked,
    lifetime: 300,
    intercept: undefined,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return made;
}

function signToken(key: KeyObject, x5c: readonly string[], claims: object): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const text = `${encode({ typ: 'JWT', alg: 'ES256', x5c })}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}
