import { Readable } from 'node:stream';
import { expect } from 'chai';
import { AuthenticationError, NotFoundError } from '../../lib/errors.js';
import type { RegistryClient } from '../../lib/registry/index.js';
import { digestOf } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import type { Reply, ScriptedServer, Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { descriptorOf } from '../suites/content-store.js';

const { signal } = new AbortController();
const BASIC = `Basic ${Buffer.from('me:secret').toString('base64')}`;
const manifest = Buffer.from(
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
);
const served: Reply = { body: manifest, headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' } };
const asksForBasic: Reply = { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } };

describe('registry v2, access', () => {
  const suite = scriptedSuite();
  const step = (method: string, path: string, authorization: string | undefined, reply: Reply): Step => ({
    method,
    path,
    expect: { authorization },
    reply,
  });
  const loggedIn = (): RegistryClient =>
    suite.client({ credentials: () => Promise.resolve({ username: 'me', password: 'secret', source: 'a file' }) });

  describe('to what is hidden from those who have not logged in', () => {
    const get = (authorization: string | undefined, reply: Reply, tag = '1'): Step =>
      step('GET', `/v2/a/b/manifests/${tag}`, authorization, reply);
    const fetch = async (client: RegistryClient, { host }: ScriptedServer, tag = '1'): Promise<Buffer> =>
      (await (await client.open({ host, repository: 'a/b' }, { signal })).manifest({ tag }, { signal })).bytes;

    for (const status of [404, 403])
      it(`is tried once more with the login after ${status}, and at once the next time`, async () => {
        const server = await suite.serve(
          get(undefined, { status }),
          step('GET', '/v2/', undefined, asksForBasic),
          get(BASIC, served),
          get(BASIC, served, '2'),
        );
        const client = loggedIn();
        expect((await fetch(client, server)).equals(manifest)).to.equal(true);
        await fetch(client, server, '2');
      });

    it('sends no login that is not asked for, and asks the base once', async () => {
      const server = await suite.serve(
        get(undefined, { status: 404 }),
        step('GET', '/v2/', undefined, {}),
        get(undefined, { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN","message":"no"}]}' }, '2'),
      );
      const client = loggedIn();
      expect(await rejection(fetch(client, server))).to.be.instanceOf(NotFoundError);
      const error = await rejection(fetch(client, server, '2'));
      expect(error.message).to.include('has no repository a/b');
    });

    it('costs those without a login nothing', async () => {
      const server = await suite.serve(get(undefined, { status: 404 }));
      expect(await rejection(fetch(suite.client(), server))).to.be.instanceOf(NotFoundError);
    });

    it('is not made worse by a credential helper that fails', async () => {
      const server = await suite.serve(get(undefined, { status: 404 }));
      const client = suite.client({ credentials: () => Promise.reject(new Error('the helper failed')) });
      expect(await rejection(fetch(client, server))).to.be.instanceOf(NotFoundError);
    });

    it('is listed whole: the catalog is asked for with the login from the start', async () => {
      const server = await suite.serve(
        step('GET', '/v2/', undefined, asksForBasic),
        step('GET', '/v2/_catalog?n=1000', BASIC, { body: '{"repositories":["hidden"]}' }),
      );
      const names: string[] = [];
      for await (const name of loggedIn().catalog(server.host, { signal })) names.push(name);
      expect(names).to.deep.equal(['hidden']);
    });
  });

  describe('with a login that is refused', () => {
    const path = '/v2/a/b/manifests/1';
    const refusalOf = async ({ host }: ScriptedServer): Promise<AuthenticationError> => {
      const reader = await loggedIn().open({ host, repository: 'a/b' }, { signal });
      const error = await rejection(reader.manifest({ tag: '1' }, { signal }));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error).to.include({ host, credentialSource: 'a file' });
      expect(error.hint).to.match(/^check the .* or log in with: imgtool login 127/);
      return error as AuthenticationError;
    };

    it('says that the registry refused it: 401 once more', async () => {
      const server = await suite.serve(
        step('GET', path, undefined, asksForBasic),
        step('GET', path, BASIC, asksForBasic),
      );
      expect((await refusalOf(server)).message).to.equal(`${server.host} refused the credentials of a file`);
    });

    it('says that the registry refused it: 401 after the repository was hidden without a login', async () => {
      const server = await suite.serve(
        step('GET', path, undefined, { status: 404 }),
        step('GET', '/v2/', undefined, asksForBasic),
        step('GET', path, BASIC, asksForBasic),
      );
      expect((await refusalOf(server)).message).to.equal(`${server.host} refused the credentials of a file`);
    });

    it('says with which login access is refused: 403', async () => {
      const server = await suite.serve(
        step('GET', path, undefined, asksForBasic),
        step('GET', path, BASIC, { status: 403 }),
      );
      expect((await refusalOf(server)).message).to.equal(
        `${server.host} refuses access to ${server.host}/a/b:1 with the credentials of a file`,
      );
    });

    for (const status of [401, 403])
      it(`says that the token service refused it: ${status}`, async () => {
        const server = await suite.serve();
        const asks: Reply = { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } };
        server.add(
          step('GET', path, undefined, asks),
          step('GET', '/token?scope=repository%3Aa%2Fb%3Apull&account=me', BASIC, { status }),
        );
        expect((await refusalOf(server)).message).to.equal(
          `the token service of ${server.host} refused the credentials of a file for a/b`,
        );
      });

    it('says with which login the token was fetched that the registry does not take', async () => {
      const server = await suite.serve();
      const asks: Reply = { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } };
      server.add(
        step('GET', path, undefined, asks),
        step('GET', '/token?scope=repository%3Aa%2Fb%3Apull&account=me', BASIC, { body: '{"token":"T"}' }),
        step('GET', path, 'Bearer T', asks),
      );
      expect((await refusalOf(server)).message).to.equal(
        `${server.host} does not allow us to read a/b with the credentials of a file, or there is no such repository`,
      );
    });
  });

  describe('by tokens for one repository only', () => {
    const bytes = Buffer.from('a blob');
    const digest = digestOf(bytes);
    const up = '/v2/a/b/blobs/uploads/';
    const both = '/token?scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull';
    const own = '/token?scope=repository%3Aa%2Fb%3Apull%2Cpush';

    it('of which nobody can see what they are for: the push asks for another one, and uploads what it cannot mount', async () => {
      const server = await suite.serve();
      const asks: Reply = { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } };
      server.add(
        step('HEAD', `/v2/a/b/blobs/${digest}`, undefined, asks),
        step('GET', both, undefined, { body: '{"token":"source"}' }),
        step('HEAD', `/v2/a/b/blobs/${digest}`, 'Bearer source', asks),
        step('GET', own, undefined, { body: '{"token":"own"}' }),
        step('HEAD', `/v2/a/b/blobs/${digest}`, 'Bearer own', { status: 404 }),
        step('POST', up, 'Bearer own', { status: 202, headers: { location: '/up' } }),
        step('PUT', `/up?digest=${encodeURIComponent(digest)}`, 'Bearer own', { status: 201 }),
      );
      const writer = await suite
        .client()
        .openWriter({ host: server.host, repository: 'a/b' }, { signal, mountFrom: ['c'] });
      expect(await writer.hasBlob(digest, { signal })).to.equal(false);
      expect(await writer.mountBlob(digest, 'c', { signal })).to.deep.equal({ mounted: false });
      const open = (): Promise<Readable> => Promise.resolve(Readable.from([bytes]));
      await writer.uploadBlob({ descriptor: descriptorOf(bytes), open }, { signal });
    });

    it('is told as refused when another token does not help', async () => {
      const server = await suite.serve();
      const asks: Reply = { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } };
      server.add(
        { ...step('POST', up, undefined, asks), expect: {}, times: 3 },
        step('GET', both, undefined, { body: '{"token":"one"}' }),
        step('GET', own, undefined, { body: '{"token":"two"}' }),
      );
      const writer = await suite
        .client()
        .openWriter({ host: server.host, repository: 'a/b' }, { signal, mountFrom: ['c'] });
      const open = (): Promise<Readable> => Promise.resolve(Readable.from([bytes]));
      const error = await rejection(writer.uploadBlob({ descriptor: descriptorOf(bytes), open }, { signal }));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error.message).to.include('does not allow us to write to a/b');
    });

    it('asks only once to mount from where it may not', async () => {
      const path = (of: string): string => `${up}?mount=${encodeURIComponent(of)}&from=c`;
      const server = await suite.serve(step('POST', path(digest), undefined, { status: 403 }));
      const writer = await suite
        .client()
        .openWriter({ host: server.host, repository: 'a/b' }, { signal, mountFrom: ['c'] });
      for (const each of [digest, digestOf('other')])
        expect(await writer.mountBlob(each, 'c', { signal })).to.deep.equal({ mounted: false });
    });
  });
});
