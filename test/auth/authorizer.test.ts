import { expect } from 'chai';
import { createAuthorizer, parseChallenges, type Authorizer, type AuthScope } from '../../lib/auth/index.js';
import { AuthenticationError, RegistryError } from '../../lib/errors.js';
import { createHttpClient, type HttpClient } from '../../lib/http/index.js';
import { rejection } from '../helpers/rejection.js';
import { startScript, type Reply, type ScriptedServer, type Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';

const { signal } = new AbortController();
const KNOWN = { username: 'me', password: 'p:ss wörd', source: 'a file' };
const BASIC = `Basic ${Buffer.from('me:p:ss wörd').toString('base64')}`;

describe('auth', () => {
  let http: HttpClient;
  let services: ScriptedServer[] = [];
  beforeEach(() => {
    http = createHttpClient({ backoffBaseMs: 1 });
  });
  afterEach(async () => {
    const running = services;
    services = [];
    await http.close();
    for (const service of running) await service.close();
    for (const service of running) service.verify();
  });

  const authorizer = (known = false): Authorizer =>
    createAuthorizer({ http, credentials: () => Promise.resolve(known ? KNOWN : undefined) });
  const tokens = async (...steps: Step[]): Promise<ScriptedServer> => {
    const service = await startScript(steps);
    services.push(service);
    return service;
  };
  const scopeOf = (host: string): AuthScope => ({ host, repository: 'a/b', actions: 'pull' });
  const token = (path: string, reply: Reply, expect: Step['expect'] = {}): Step => ({
    method: 'GET',
    path,
    reply,
    expect,
  });
  const PULL = 'scope=repository%3Aa%2Fb%3Apull';

  describe('challenges', () => {
    for (const [header, expected] of [
      [undefined, []],
      ['', []],
      ['Basic realm="x"', [{ scheme: 'basic', parameters: { realm: 'x' } }]],
      [
        'BEARER Realm="https://a/b,c",service=s',
        [{ scheme: 'bearer', parameters: { realm: 'https://a/b,c', service: 's' } }],
      ],
      [
        'Bearer realm="a\\"b" , scope="x:y:pull,push",Basic realm=z',
        [
          { scheme: 'bearer', parameters: { realm: 'a"b', scope: 'x:y:pull,push' } },
          { scheme: 'basic', parameters: { realm: 'z' } },
        ],
      ],
      ['Bearer realm="first",realm="second"', [{ scheme: 'bearer', parameters: { realm: 'first' } }]],
      ['Negotiate', [{ scheme: 'negotiate', parameters: {} }]],
      ['"broken', []],
      ['Bearer __proto__="x"', [{ scheme: 'bearer', parameters: { ['__proto__']: 'x' } }]],
    ] as const) {
      it(JSON.stringify(header ?? null), () => {
        const plain = parseChallenges(header).map(({ scheme, parameters }) => ({
          scheme,
          parameters: Object.entries(parameters),
        }));
        expect(plain).to.deep.equal(
          expected.map(({ scheme, parameters }) => ({ scheme, parameters: Object.entries(parameters) })),
        );
      });
    }
  });

  describe('basic', () => {
    const refusal = { url: 'http://127.0.0.1:1/v2/', challenge: 'Basic realm="x"', refused: undefined };
    const scope = scopeOf('127.0.0.1:1');

    it('sends nothing unasked, and remembers what it was asked for', async () => {
      const made = authorizer(true);
      expect(await made.header(scope, signal)).to.equal(undefined);
      expect(await made.answer(scope, refusal, signal)).to.equal(BASIC);
      expect(await made.header(scope, signal)).to.equal(BASIC);
      expect(await made.header({ ...scope, host: 'other' }, signal)).to.equal(undefined);
    });

    it('without credentials says how to log in', async () => {
      const error = await rejection(authorizer().answer(scope, refusal, signal));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error.hint).to.equal('log in with: imgtool login 127.0.0.1:1');
    });

    it('that was refused is not sent again; the message names where it came from, never what it is', async () => {
      const error = await rejection(authorizer(true).answer(scope, { ...refusal, refused: BASIC }, signal));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error.message).to.include('a file').and.not.include('p:ss');
    });

    it('asked for by an unknown scheme is told as such', async () => {
      const error = await rejection(authorizer(true).answer(scope, { ...refusal, challenge: 'Negotiate' }, signal));
      expect(error.message).to.include('negotiate');
    });
  });

  describe('bearer', () => {
    const answer = (made: Authorizer, service: ScriptedServer, path = '/token', more = ''): Promise<string> =>
      made.answer(
        scopeOf(service.host),
        {
          url: `${service.url}/v2/a/b/manifests/1`,
          challenge: `Bearer realm="${service.url}${path}",service="reg"${more}`,
          refused: undefined,
        },
        signal,
      );

    it('fetches an anonymous token for what is wanted, not for what the registry says', async () => {
      const service = await tokens(
        token(`/token?service=reg&${PULL}`, { body: '{"token":"abc"}' }, { authorization: undefined }),
      );
      const made = authorizer();
      const header = await answer(
        made,
        service,
        '/token',
        ',scope="repository:a/b:pull,push,delete repository:secret:pull"',
      );
      expect(header).to.equal('Bearer abc');
      expect(await made.header(scopeOf(service.host), signal)).to.equal('Bearer abc');
    });

    it('sends the password to the registry itself, and takes access_token as well', async () => {
      const service = await tokens(
        token(`/t?x=1&service=reg&${PULL}&account=me`, { body: '{"access_token":"abc"}' }, { authorization: BASIC }),
      );
      expect(await answer(authorizer(true), service, '/t?x=1')).to.equal('Bearer abc');
    });

    it('names the repositories to mount from', async () => {
      const scopes = ['a/b:pull,push', 'c:pull'].map((s) => `scope=${encodeURIComponent(`repository:${s}`)}`).join('&');
      const service = await tokens(token(`/token?${scopes.replaceAll('%20', '+')}`, { body: '{"token":"t"}' }));
      const scope: AuthScope = { ...scopeOf(service.host), actions: 'pull,push', mountFrom: ['c'] };
      const refusal = { url: service.url, challenge: `Bearer realm="${service.url}/token"`, refused: undefined };
      expect(await authorizer().answer(scope, refusal, signal)).to.equal('Bearer t');
    });

    it('fetches one token for all who are refused at once', async () => {
      const service = await tokens(token(`/token?service=reg&${PULL}`, { body: '{"token":"abc"}', delayMs: 30 }));
      const made = authorizer();
      const all = await Promise.all([1, 2, 3].map(() => answer(made, service)));
      expect(all).to.deep.equal(['Bearer abc', 'Bearer abc', 'Bearer abc']);
      expect(await answer(made, service)).to.equal('Bearer abc');
    });

    it('fetches another one when the first was refused', async () => {
      const service = await tokens(
        token(`/token?service=reg&${PULL}`, { body: '{"token":"one"}' }),
        token(`/token?service=reg&${PULL}`, { body: '{"token":"two"}' }),
      );
      const made = authorizer();
      await answer(made, service);
      const again = await made.answer(
        scopeOf(service.host),
        { url: service.url, challenge: `Bearer realm="${service.url}/token",service="reg"`, refused: 'Bearer one' },
        signal,
      );
      expect(again).to.equal('Bearer two');
    });

    for (const [what, reply, type] of [
      ['401', { status: 401 }, AuthenticationError],
      ['403', { status: 403 }, AuthenticationError],
      ['404', { status: 404 }, RegistryError],
      ['no JSON', { body: 'token' }, RegistryError],
      ['no token', { body: '{}' }, RegistryError],
      ['null', { body: 'null' }, RegistryError],
      ['a token that breaks out of its header', { body: '{"token":"a\\r\\nX-Y: z"}' }, RegistryError],
      ['a token without end', { body: `{"token":"${'a'.repeat(70_000)}"}` }, RegistryError],
    ] as const) {
      it(`is an error when the token service sends ${what}`, async () => {
        const service = await tokens(token(`/token?service=reg&${PULL}`, reply));
        expect(await rejection(answer(authorizer(), service))).to.be.instanceOf(type);
      });
    }

    it('is fetched again for others when the one who fetched it for all was cancelled', async () => {
      const service = await tokens(
        token(`/token?service=reg&${PULL}`, { body: '{"token":"late"}', delayMs: 300 }),
        token(`/token?service=reg&${PULL}`, { body: '{"token":"new"}' }),
      );
      const made = authorizer();
      const controller = new AbortController();
      const refusal = {
        url: service.url,
        challenge: `Bearer realm="${service.url}/token",service=reg`,
        refused: undefined,
      };
      const first = rejection(made.answer(scopeOf(service.host), refusal, controller.signal));
      const second = made.answer(scopeOf(service.host), refusal, signal);
      setTimeout(() => controller.abort(), 50);
      expect((await first).name).to.equal('AbortError');
      expect(await second).to.equal('Bearer new');
    });
  });

  describe('where a token may be fetched (CVE-2026-33540, case 23)', () => {
    const refuses: readonly (readonly [what: string, registry: string, realm: string, known: boolean])[] = [
      ['a password to another host', 'https://reg.example/v2/', 'https://evil.example/token', true],
      ['a password to a subdomain', 'https://reg.example/v2/', 'https://auth.reg.example/token', true],
      ['plain http from a registry of https', 'https://reg.example/v2/', 'http://reg.example/token', false],
      ['plain http on another host', 'http://reg.example/v2/', 'http://other.example/token', false],
      ['this machine for a registry elsewhere', 'https://reg.example/v2/', 'https://127.0.0.1:1/token', false],
      ['this machine by name', 'http://reg.example/v2/', 'https://localhost/token', false],
      ['a user name in the address', 'https://reg.example/v2/', 'https://a:b@reg.example/token', false],
      ['another scheme', 'https://reg.example/v2/', 'file:///etc/passwd', false],
      ['no address', 'https://reg.example/v2/', 'token', false],
      ['nothing', 'https://reg.example/v2/', '', false],
      ['the known service of another registry', 'https://reg.example/v2/', 'https://auth.docker.io/token', true],
    ];
    for (const [what, url, realm, known] of refuses) {
      it(`refuses ${what}`, async () => {
        const requests = http.statistics.requests;
        const challenge = `Bearer realm="${realm}"`;
        const error = await rejection(
          authorizer(known).answer(scopeOf('reg.example'), { url, challenge, refused: undefined }, signal),
        );
        expect(error).to.be.instanceOf(AuthenticationError);
        expect(error.message).to.not.include('a:b@');
        expect(http.statistics.requests).to.equal(requests);
      });
    }
  });

  describe('with a registry', () => {
    const suite = scriptedSuite();
    const manifest = { schemaVersion: 2 };
    const get = (expect: Step['expect'], reply: Reply): Step => ({
      method: 'GET',
      path: '/v2/a/b/manifests/1',
      ...(expect === undefined ? {} : { expect }),
      reply,
    });
    const ok: Reply = { body: JSON.stringify(manifest), headers: { 'content-type': 'application/json' } };

    it('answers a 401 once and says what is the matter when that does not help', async () => {
      const refused: Reply = { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } };
      const server = await suite.serve(
        get({ authorization: undefined }, refused),
        get({ authorization: BASIC }, refused),
      );
      const client = suite.client({ credentials: () => Promise.resolve(KNOWN) });
      const repository = await client.open({ host: server.host, repository: 'a/b' }, { signal });
      const error = await rejection(repository.manifest({ tag: '1' }, { signal }));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error.message).to.include('does not let us read a/b');
    });

    it('sends its token with every further request, without being asked again', async () => {
      const server = await suite.serve();
      server.add(
        get(
          { authorization: undefined },
          { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } },
        ),
        token(`/token?${PULL}`, { body: '{"token":"abc","expires_in":300}' }),
        { ...get({ authorization: 'Bearer abc' }, ok), times: 2 },
      );
      const repository = await suite.client().open({ host: server.host, repository: 'a/b' }, { signal });
      for (let i = 0; i < 2; i++) await repository.manifest({ tag: '1' }, { signal });
    });
  });
});
