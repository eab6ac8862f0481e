import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import {
  createCredentialStore,
  parseRegistryKey,
  type CredentialLookup,
  type Credentials,
} from '../../lib/auth/index.js';
import { AuthenticationError, RegistryError, TransportError } from '../../lib/errors.js';
import { createRegistryClient, type RegistryClient } from '../../lib/registry/index.js';
import { digestOf, MEDIA_TYPE, type Descriptor } from '../../lib/spec/index.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { rejection } from '../helpers/rejection.js';
import { startScript } from '../helpers/scripted-registry.js';
import { makeSelfSigned } from '../helpers/self-signed.js';
import { startTokenServer, type TokenServer } from '../helpers/token-server.js';
import { logIn } from '../../lib/operations/registry/index.js';

const { signal } = new AbortController();

/** A docker-registry that takes the tokens of a service of ours alone. */
describe('token authentication with docker-registry', () => {
  let directory: string;
  let service: TokenServer;
  let registry: DockerRegistry;
  let clients: RegistryClient[] = [];
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-token-'));
    const certificate = await makeSelfSigned();
    const rootcertbundle = join(directory, 'cert');
    await writeFile(rootcertbundle, certificate.cert);
    service = await startTokenServer({
      ...certificate,
      users: { me: 'hidden', reader: 'hidden' },
      refreshTokens: { me: 'refresh-hidden' },
      grant: (user, repository, actions) => {
        if (repository.startsWith('secret/')) return user === 'me' ? actions : [];
        return actions.filter((action) => user === 'me' || action === 'pull');
      },
    });
    const token = { realm: service.realm, service: service.service, issuer: 'test', rootcertbundle };
    registry = await startDockerRegistry({ config: { auth: { token } } });
  });
  after(async () => {
    await registry.stop();
    await service.close();
    await rm(directory, { recursive: true });
  });
  beforeEach(() => {
    service.asked.length = 0;
  });
  afterEach(async () => {
    service.intercept = undefined;
    service.lifetime = 300;
    for (const client of clients) await client.close();
    clients = [];
  });

  const ME: Credentials = { username: 'me', password: 'hidden', source: 'a file' };
  const client = (credentials?: Credentials, retries = 2): RegistryClient => {
    const made = createRegistryClient({
      backoffBaseMs: 1,
      retries,
      timeouts: { responseMs: 5000 },
      credentials: () => Promise.resolve(credentials),
    });
    clients.push(made);
    return made;
  };
  const blobOf = (bytes: Buffer): Descriptor => ({
    mediaType: 'application/octet-stream',
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const upload = async (by: RegistryClient, repository: string, bytes: Buffer, pauseMs = 0): Promise<void> => {
    const writer = await by.openWriter({ host: registry.host, repository }, { signal });
    async function* paced(from: number): AsyncGenerator<Buffer> {
      const step = Math.ceil(bytes.length / 10);
      for (let at = from; at < bytes.length; at += step) {
        if (pauseMs > 0) await sleep(pauseMs);
        yield bytes.subarray(at, at + step);
      }
    }
    const open = ({ offset }: { offset: number }): Promise<Readable> => Promise.resolve(Readable.from(paced(offset)));
    await writer.uploadBlob({ descriptor: blobOf(bytes), open }, { signal });
  };
  const tag = async (by: RegistryClient, repository: string): Promise<Descriptor> => {
    const config = Buffer.from('{}');
    await upload(by, repository, config);
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociManifest,
        config: { ...blobOf(config), mediaType: MEDIA_TYPE.ociConfig },
        layers: [],
      }),
    );
    const descriptor = { ...blobOf(bytes), mediaType: MEDIA_TYPE.ociManifest };
    const writer = await by.openWriter({ host: registry.host, repository }, { signal });
    await writer.putManifest({ bytes, descriptor }, { tag: '1' }, { signal });
    return descriptor;
  };
  const resolve = async (by: RegistryClient, repository: string): Promise<Descriptor> =>
    (await by.open({ host: registry.host, repository }, { signal })).resolve({ tag: '1' }, { signal });

  it('a push and a pull that take longer than a token lives succeed, and ask for no token twice', async () => {
    service.lifetime = 2;
    const by = client(ME);
    const bytes = randomBytes(5 << 20);
    // The upload alone outlives its token.
    await upload(by, 'slow/app', bytes, 350);
    const pushed = await tag(by, 'slow/app');
    const tokens = service.asked.map(({ token }) => token!);
    expect(tokens.length).to.be.greaterThan(1);
    expect(new Set(service.asked.map(({ scopes }) => scopes.join(' ')))).to.deep.equal(
      new Set(['repository:slow/app:pull,push']),
    );
    // The registry does not take the first one any more: that is what makes this a test.
    const old = await fetch(`${registry.url}/v2/slow/app/manifests/1`, {
      headers: { authorization: `Bearer ${tokens[0]}`, accept: MEDIA_TYPE.ociManifest },
    });
    expect(old.status).to.equal(401);

    const reader = client(ME);
    expect((await resolve(reader, 'slow/app')).digest).to.equal(pushed.digest);
    const repository = await reader.open({ host: registry.host, repository: 'slow/app' }, { signal });
    const source = repository.blob(blobOf(bytes));
    const head = await source.open({ signal });
    head.body.destroy();
    await sleep(2000);
    const { body } = await source.open({ signal, offset: 1 << 20 });
    const hash = createHash('sha256').update(bytes.subarray(0, 1 << 20));
    for await (const chunk of body as AsyncIterable<Buffer>) hash.update(chunk);
    expect(`sha256:${hash.digest('hex')}`).to.equal(blobOf(bytes).digest);
  });

  it('many requests at once share one token; another scope has its own', async () => {
    await tag(client(ME), 'shared/app');
    service.asked.length = 0;
    const by = client();
    await Promise.all(Array.from({ length: 8 }, () => resolve(by, 'shared/app')));
    expect(service.asked.map(({ scopes, user }) => [scopes, user])).to.deep.equal([
      [['repository:shared/app:pull'], undefined],
    ]);
  });

  it('a refresh token fetches tokens by POST', async () => {
    await tag(client({ username: '', password: '', identityToken: 'refresh-hidden', source: 'a helper' }), 'oauth/app');
    expect(service.asked[0]).to.include({ method: 'POST', user: 'me' });
    const wrong: Credentials = { username: '', password: '', identityToken: 'stale-hidden', source: 'a helper' };
    const error = await rejection(resolve(client(wrong), 'secret/app'));
    expect(error).to.be.instanceOf(AuthenticationError);
    expect(error.message).to.include('a helper').and.not.include('hidden');
  });

  it('asks for the repositories to mount from, and does without where they are refused', async () => {
    const bytes = randomBytes(1000);
    const by = client(ME);
    await upload(by, 'secret/base', bytes);
    service.asked.length = 0;
    const writer = await by.openWriter(
      { host: registry.host, repository: 'my/app' },
      { signal, mountFrom: ['secret/base'] },
    );
    const mounted = await writer.mountBlob(blobOf(bytes).digest, 'secret/base', { signal });
    expect(mounted.mounted).to.equal(true);
    expect(service.asked[0]!.scopes).to.deep.equal(['repository:my/app:pull,push', 'repository:secret/base:pull']);

    service.intercept = refuse(403, (url) => url.includes('secret'));
    const other = await client(ME).openWriter(
      { host: registry.host, repository: 'my/other' },
      { signal, mountFrom: ['secret/base'] },
    );
    expect(await other.hasBlob(blobOf(bytes).digest, { signal })).to.equal(false);
  });

  for (const [what, credentials] of [
    ['a reader', { username: 'reader', password: 'hidden', source: 'a file' }],
    ['nobody', undefined],
  ] as const)
    it(`a push by ${what} fails before anything is sent`, async () => {
      const by = client(credentials);
      const writer = await by.openWriter({ host: registry.host, repository: 'my/app' }, { signal });
      const error = await rejection(writer.hasBlob(blobOf(Buffer.from('x')).digest, { signal }));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error.message).to.include('push to my/app');
      // The one that was refused, and the one for the token.
      expect(by.statistics).to.include({ requests: 2, bytesSent: 0 });
    });

  it('what nobody may read is told as such', async () => {
    const error = await rejection(resolve(client(), 'secret/app'));
    expect(error).to.be.instanceOf(AuthenticationError);
    expect(error.hint).to.include('imgtool login');
  });

  for (const [user, kept] of [
    ['me', { auth: 'bWU6', identitytoken: 'refresh-hidden' }],
    ['reader', { auth: 'cmVhZGVyOmhpZGRlbg==' }],
  ] as const)
    it(`login keeps what the service gives in place of the password of ${user}, if anything`, async () => {
      const authfile = join(directory, `auth-${user}.json`);
      const credentials = createCredentialStore({ env: { HOME: directory }, authfile });
      const connect = (find: CredentialLookup): Promise<RegistryClient> => {
        const made = createRegistryClient({ backoffBaseMs: 1, credentials: find });
        clients.push(made);
        return Promise.resolve(made);
      };
      const login = { username: user, password: 'hidden' };
      const done = await logIn({ credentials, connect }, { key: parseRegistryKey(registry.host), login, signal });
      expect(done).to.include({ checked: true, identityToken: user === 'me' });
      const { auths } = JSON.parse(await readFile(authfile, 'utf8')) as { auths: object };
      expect(auths).to.deep.equal({ [registry.host]: kept });
      await (await connect(credentials.find)).ping(registry.host, { signal });
      expect(service.asked.map(({ method, user: who }) => [method, who])).to.deep.equal([
        ['GET', user],
        [user === 'me' ? 'POST' : 'GET', user],
      ]);
    });

  it('login is checked by the service', async () => {
    await client(ME).ping(registry.host, { signal });
    const error = await rejection(client({ ...ME, password: 'wrong-hidden' }).ping(registry.host, { signal }));
    expect(error).to.be.instanceOf(AuthenticationError);
    expect(error.message).to.not.include('hidden');
  });

  describe('the service', () => {
    before(() => tag(client(ME), 'any/app'));

    it('is asked again after a 503, and told as failing when it stays so', async () => {
      let failures = 2;
      service.intercept = (request, response) => failures-- > 0 && refuse(503)(request, response);
      await resolve(client(), 'any/app');
      service.intercept = refuse(500);
      const error = await rejection(resolve(client(), 'any/app'));
      expect(error).to.be.instanceOf(RegistryError);
      expect(error.message).to.include('token service').and.include('500');
    });

    it('may redirect: the password follows on the same host, nothing to another one', async () => {
      service.intercept = (request, response) => redirect(request, response, '/moved');
      await resolve(client(ME), 'any/app');
      expect(service.asked.at(-1)).to.include({ user: 'me' });

      const other = await startScript();
      try {
        service.intercept = (request, response) => redirect(request, response, `${other.url}/stolen`);
        await rejection(resolve(client(ME), 'any/app'));
        expect(other.requests.length).to.be.greaterThan(0);
        const refresh: Credentials = {
          username: 'me',
          password: '',
          identityToken: 'refresh-hidden',
          source: 'a file',
        };
        const error = await rejection(resolve(client(refresh), 'any/app'));
        expect(error).to.be.instanceOf(TransportError);
        for (const { headers, path, body } of other.requests) {
          expect(headers).to.not.have.any.keys('authorization', 'cookie');
          expect(path + body.toString()).to.not.include('hidden');
        }
      } finally {
        await other.close();
      }
    });

    it('that does not answer is no endless wait (case 31)', async () => {
      service.intercept = () => true;
      const made = createRegistryClient({ retries: 0, timeouts: { responseMs: 300 } });
      clients.push(made);
      expect(await rejection(resolve(made, 'any/app'))).to.be.instanceOf(TransportError);
    });
  });
});

function refuse(status: number, when: (url: string) => boolean = () => true) {
  return ({ url = '' }: IncomingMessage, response: ServerResponse): boolean => {
    if (!when(url)) return false;
    response.writeHead(status).end();
    return true;
  };
}

/** Redirects all that was not redirected yet. */
function redirect({ url = '' }: IncomingMessage, response: ServerResponse, to: string): boolean {
  if (url.startsWith('/moved')) return false;
  response.writeHead(307, { location: `${to}?${url.split('?')[1] ?? ''}` }).end();
  return true;
}
