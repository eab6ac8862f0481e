import { expect } from 'chai';
import { CookieJar } from '../../lib/registry/v1/cookie-jar.js';
import type { V1Host } from '../../lib/registry/v1/host.js';
import { V1Session } from '../../lib/registry/v1/session.js';
import { rejection } from '../helpers/rejection.js';

const { signal } = new AbortController();

describe('registry v1: a session', () => {
  it('shows the password with every request over https, and a token in its place where the index gave one', async () => {
    const sent: (string | undefined)[] = [];
    const answer = (headers: Record<string, string>) => ({ status: 200, headers, url: 'https://r/v1/', body: '' });
    let token: Record<string, string> = {};
    const host = {
      options: {
        credentials: () => Promise.resolve({ username: 'me', password: 'pw' }),
        documents: {
          request: ({ headers }: { headers: Record<string, string> }) => {
            sent.push(headers.authorization);
            return Promise.resolve(answer(token));
          },
        },
      },
      base: () => Promise.resolve('https://r'),
      cookies: new CookieJar(),
    } as unknown as V1Host;
    const session = new V1Session(host, 'a/b');
    const ask = (endpoint: string) => session.request(endpoint, { method: 'GET', path: 'x', signal }, 1);
    await ask('https://r');
    await ask('https://else');
    token = { 'x-docker-token': 'signature=1' };
    await session.index({ method: 'GET', path: 'x', signal }, 1);
    await ask('https://r');
    await ask('https://else');
    const basic = `Basic ${Buffer.from('me:pw').toString('base64')}`;
    expect(sent).to.deep.equal([basic, undefined, basic, 'Token signature=1', 'Token signature=1']);
  });

  it('asks for the credentials again after a failure', async () => {
    const sent: (string | undefined)[] = [];
    let asked = 0;
    const host = {
      options: {
        credentials: () => {
          asked += 1;
          if (asked === 1) return Promise.reject(new Error('the helper failed'));
          return Promise.resolve({ username: 'me', password: 'pw' });
        },
        documents: {
          request: ({ headers }: { headers: Record<string, string> }) => {
            sent.push(headers.authorization);
            return Promise.resolve({ status: 200, headers: {}, url: 'https://r/v1/', body: '' });
          },
        },
      },
      base: () => Promise.resolve('https://r'),
      cookies: new CookieJar(),
    } as unknown as V1Host;
    const session = new V1Session(host, 'a/b');
    const ask = () => session.index({ method: 'GET', path: 'x', signal }, 1);
    expect(await rejection(ask())).to.have.property('message', 'the helper failed');
    await ask();
    await ask();
    expect(asked).to.equal(2);
    expect(sent).to.deep.equal(Array(2).fill(`Basic ${Buffer.from('me:pw').toString('base64')}`));
  });
});
