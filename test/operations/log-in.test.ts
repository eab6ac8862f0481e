import { expect } from 'chai';
import { AuthenticationError } from '../../lib/errors.js';
import { logIn } from '../../lib/operations/registry/index.js';
import { rejection } from '../helpers/rejection.js';

describe('operations/registry: a login that fails', () => {
  const host = 'registry.test';
  const failWith = (error: Error): Promise<Error & { readonly hint?: string }> =>
    rejection(
      logIn(
        {
          credentials: undefined as never,
          connect: (find) =>
            Promise.resolve({
              ping: async () => {
                await find(host, {} as never);
                throw error;
              },
              close: () => Promise.resolve(),
            }),
        },
        {
          ...{ key: { host, path: '' }, login: { username: 'me', password: 'x' } },
          signal: new AbortController().signal,
        },
      ),
    );

  it('is told as such where it was refused, whatever the words of the error', async () => {
    const refused = new AuthenticationError('no', { host, isLoginRefused: true });
    expect((await failWith(refused)).message).to.equal(`${host} refused the login of me`);
  });

  it('keeps an error of something else, whatever its hint', async () => {
    const other = new AuthenticationError('no token service', { host, hint: 'imgtool login does not help' });
    expect(await failWith(other)).to.equal(other);
  });
});
