import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import {
  createAuthorizer,
  parseChallenges,
  type Authorizer,
  type AuthScope,
  type Credentials,
  type Refusal,
} from '../../lib/auth/index.js';
import { AuthenticationError, RegistryError } from '../../lib/errors.js';
import { createHttpClient, type HttpClient } from '../../lib/http/index.js';
import { digestOf } from '../../lib/spec/index.js';
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

  const authorizer = (known = false, more: Partial<Credentials> = {}): Authorizer =>
    createAuthorizer({ http, credentials: () => Promise.resolve(known ? { ...KNOWN, ...more } : undefined) });
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
      [
        'Negotiate TlRMTVNTUAAC/+==, Basic realm="x"',
        [
          { scheme: 'negotiate', parameters: {} },
          { scheme: 'basic', parameters: { realm: 'x' } },
        ],
      ],
      [
        'NTLM abc=,Bearer realm=r, Negotiate',
        [
          { scheme: 'ntlm', parameters: {} },
          { scheme: 'bearer', parameters: { realm: 'r' } },
          { scheme: 'negotiate', parameters: {} },
        ],
      ],
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

    it('takes access_token where token is empty', async () => {
      const service = await tokens(token(`/token?service=reg&${PULL}`, { body: '{"token":"","access_token":"abc"}' }));
      expect(await answer(authorizer(), service)).to.equal('Bearer abc');
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

    for (const reason of [undefined, new Error('another blob failed')])
      it(`is fetched again for others when the one who fetched it for all was cancelled: ${reason?.message ?? 'aborted'}`, async () => {
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
        while (service.requests.length === 0) await sleep(5);
        controller.abort(reason);
        expect(await first).to.equal(controller.signal.reason);
        expect(await second).to.equal('Bearer new');
      });
  });

  describe('tokens', () => {
    const jwt = (claims: object): string =>
      `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2lnbmF0dXJl`;
    const body = (answer: object): Reply => ({ body: JSON.stringify(answer) });
    const refusalOf = (service: ScriptedServer, more = ''): Refusal => ({
      url: service.url,
      challenge: `Basic realm="a, b",Bearer realm="${service.url}/token"${more}`,
      refused: undefined,
    });

    for (const [what, first] of [
      ['says so', { token: 'one', expires_in: 0.02 }],
      ['is a JSON web token that says so', { token: jwt({ iat: 1000, exp: 1000.02 }) }],
    ] as const)
      it(`are renewed before a request when one that ran out ${what}`, async () => {
        const service = await tokens(
          token(`/token?${PULL}`, body(first)),
          token(`/token?${PULL}`, body({ token: 'two' })),
        );
        const made = authorizer();
        const one = await made.answer(scopeOf(service.host), refusalOf(service), signal);
        while (!made.hasExpired(one)) await sleep(5);
        const headers = await Promise.all([1, 2, 3].map(() => made.header(scopeOf(service.host), signal)));
        expect(headers).to.deep.equal(Array(3).fill('Bearer two'));
        expect(made.hasExpired('Bearer two')).to.equal(false);
      });

    it('of the same scope are one, whatever led to it; another account or scope has its own', async () => {
      const service = await tokens(
        token(`/token?${PULL}`, body({ token: 'pull' })),
        token(`/token?${PULL}%2Cpush`, body({ token: 'push' })),
      );
      const made = authorizer();
      const scope = scopeOf(service.host);
      expect(await made.answer(scope, refusalOf(service), signal)).to.equal('Bearer pull');
      // Nothing to mount from but itself is nothing more.
      const same = { ...scope, mountFrom: ['a/b'] };
      expect(await made.answer(same, refusalOf(service, ',scope="x"'), signal)).to.equal('Bearer pull');
      const push: AuthScope = { ...scope, actions: 'pull,push' };
      expect(await made.answer(push, refusalOf(service), signal)).to.equal('Bearer push');
    });

    const access = (name: string, ...actions: string[]): object => ({ type: 'repository', name, actions });
    for (const [what, claims, allowed] of [
      ['names push', { access: [access('a/b', 'pull', 'push')] }, true],
      ['names everything', { access: [access('a/b', '*')] }, true],
      ['names it in one of two entries', { access: [access('a/b', 'pull'), access('a/b', 'push')] }, true],
      ['says nothing of access', { sub: 'me' }, true],
      ['knows the repository by another name', { access: [access('mirror/a/b', 'pull', 'push')] }, true],
      ['names pull alone', { access: [access('a/b', 'pull')] }, false],
      ['grants nothing', { access: [] }, false],
      ['grants something else', { access: [{ type: 'registry', name: 'a/b', actions: ['push'] }] }, false],
      ['holds rubbish', { access: [null, 3, { type: 'repository', name: 'a/b', actions: 'push' }] }, false],
    ] as const)
      it(`whose claim ${what} ${allowed ? 'may' : 'do not'} push`, async () => {
        const service = await tokens(
          token(`/token?${PULL}%2Cpush&scope=repository%3Ac%3Apull`, body({ token: jwt(claims) })),
        );
        const scope: AuthScope = { ...scopeOf(service.host), actions: 'pull,push', mountFrom: ['c'] };
        const answer = authorizer().answer(scope, refusalOf(service), signal);
        if (allowed) {
          expect(await answer).to.match(/^Bearer /);
          return;
        }
        const error = await rejection(answer);
        expect(error).to.be.instanceOf(AuthenticationError);
        expect(error.message).to.include('push to a/b');
      });

    describe('of a service that honours one scope only', () => {
      const both = `/token?${PULL}%2Cpush&scope=repository%3Ac%3Apull`;
      const own = `/token?${PULL}%2Cpush`;
      const granted = { body: JSON.stringify({ token: jwt({ access: [access('a/b', 'pull', 'push')] }) }) };
      const scopeFor = (service: ScriptedServer): AuthScope => ({
        ...scopeOf(service.host),
        actions: 'pull,push',
        mountFrom: ['c'],
      });
      for (const [what, reply] of [
        [
          'the last one (GitLab, docker_auth)',
          { body: JSON.stringify({ token: jwt({ access: [access('c', 'pull')] }) }) },
        ],
        ['refuses several with 400', { status: 400, body: 'duplicate field `scope`' }],
      ] as const)
        it(`are asked for the own repository alone: ${what}; the next time at once`, async () => {
          const service = await tokens(token(both, reply), token(own, granted), token(own, granted));
          const made = authorizer();
          const header = await made.answer(scopeFor(service), refusalOf(service), signal);
          expect(header).to.match(/^Bearer e30\./);
          expect(await made.header(scopeFor(service), signal)).to.equal(header);
          const other = { ...scopeFor(service), mountFrom: ['d'] };
          expect(await made.answer(other, refusalOf(service), signal)).to.match(/^Bearer /);
        });

      it('are told as not allowing to push when the own repository is not granted either', async () => {
        const source = { body: JSON.stringify({ token: jwt({ access: [access('c', 'pull')] }) }) };
        const nothing = { body: JSON.stringify({ token: jwt({ access: [] }) }) };
        const service = await tokens(token(both, source), token(own, nothing));
        const error = await rejection(authorizer().answer(scopeFor(service), refusalOf(service), signal));
        expect(error).to.be.instanceOf(AuthenticationError);
        expect(error.message).to.include('push to a/b');
      });
    });

    it('that the user has are sent as they are, and not again when they are refused', async () => {
      const made = authorizer(true, { registryToken: 'own' });
      const refusal = { url: 'https://reg.example/v2/', challenge: 'Bearer realm="https://else.example/t"' };
      const scope = scopeOf('reg.example');
      expect(await made.answer(scope, { ...refusal, refused: undefined }, signal)).to.equal('Bearer own');
      expect(await rejection(made.answer(scope, { ...refusal, refused: 'Bearer own' }, signal))).to.be.instanceOf(
        AuthenticationError,
      );
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
      ...[
        '0.0.0.0',
        '[::]',
        '[::ffff:127.0.0.1]',
        'localhost.',
        '169.254.169.254',
        '10.1.2.3',
        '[fe80::1]',
        '[fd00::1]',
      ].map(
        (host) => [`${host} for a public registry`, 'https://reg.example/v2/', `https://${host}/token`, false] as const,
      ),
      ['this machine for a registry of a private network', 'https://10.1.2.3/v2/', 'https://127.0.0.1/token', false],
      ['a user name in the address', 'https://reg.example/v2/', 'https://a:b@reg.example/token', false],
      ['another scheme', 'https://reg.example/v2/', 'file:///etc/passwd', false],
      ['no address', 'https://reg.example/v2/', 'token', false],
      ['nothing', 'https://reg.example/v2/', '', false],
      ['the known service of another registry', 'https://reg.example/v2/', 'https://auth.docker.io/token', true],
    ];
    it('lets the password go to another host that the user named, and to that alone', async () => {
      const asked: string[] = [];
      const made = createAuthorizer({
        http: {
          ...http,
          request: ({ url }) => {
            asked.push(new URL(url).host);
            return Promise.resolve({
              status: 200,
              headers: {},
              url,
              body: Buffer.from('{"token":"t"}'),
              truncated: false,
            });
          },
        },
        credentials: () => Promise.resolve(KNOWN),
        tokenService: (host) => (host === 'reg.example' ? 'auth.example' : undefined),
      });
      const ask = (host: string, realm: string): Promise<string> =>
        made.answer(
          scopeOf(host),
          { url: `https://${host}/v2/`, challenge: `Bearer realm="${realm}"`, refused: undefined },
          signal,
        );
      expect(await ask('reg.example', 'https://auth.example/token')).to.equal('Bearer t');
      for (const realm of [
        'https://auth.example:444/token',
        'http://auth.example/token',
        'https://a.auth.example/token',
      ])
        expect(await rejection(ask('reg.example', realm))).to.be.instanceOf(AuthenticationError);
      const refused = await rejection(ask('other.example', 'https://auth.example/token'));
      expect(refused).to.be.instanceOf(AuthenticationError);
      expect(refused.hint).to.include('token-service');
      expect(asked).to.deep.equal(['auth.example']);
    });

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
      expect(error.message).to.equal(`${server.host} refused the credentials of ${KNOWN.source}`);
    });

    it('goes on with another token when the first is refused in the middle of an upload', async () => {
      const server = await suite.serve();
      const asks: Reply = { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } };
      const up = '/v2/a/b/blobs/uploads/';
      const step = (method: string, path: string, authorization: string | undefined, reply: Reply): Step => ({
        method,
        path,
        expect: { authorization },
        reply,
      });
      const bytes = Buffer.alloc(5 << 20, 1);
      const digest = digestOf(bytes);
      const push = `/token?${PULL}%2Cpush`;
      server.add(
        step('POST', up, undefined, asks),
        token(push, { body: '{"token":"one","expires_in":300}' }),
        step('POST', up, 'Bearer one', { status: 202, headers: { location: '/up/1' } }),
        step('PATCH', '/up/1', 'Bearer one', asks),
        token(push, { body: '{"token":"two","expires_in":300}' }),
        step('PATCH', '/up/1', 'Bearer two', { status: 202, headers: { location: '/up/2' } }),
        step('PUT', `/up/2?digest=${encodeURIComponent(digest)}`, 'Bearer two', { status: 201 }),
      );
      const writer = await suite.client().openWriter({ host: server.host, repository: 'a/b' }, { signal });
      const descriptor = { mediaType: 'application/octet-stream', digest, size: bytes.length };
      await writer.uploadBlob({ descriptor, open: () => Promise.resolve(Readable.from([bytes])) }, { signal });
      const sent = server.requests.findLast(({ method }) => method === 'PATCH');
      expect(sent?.body.equals(bytes)).to.equal(true);
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
