import { AuthenticationError } from '../errors.js';
import type { Credentials, Login } from './types.js';

/** The credentials in an entry of `auths`, or undefined when it has none because a helper keeps them. Throws AuthenticationError. */
export function parseAuthEntry(
  entry: unknown,
  where: { readonly key: string; readonly file: string },
): Credentials | undefined {
  const fields = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>;
  const text = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const auth = text('auth');
  const login =
    auth === undefined ? { username: text('username') ?? '', password: text('password') ?? '' } : decode(auth);
  if (login === undefined) {
    throw new AuthenticationError(`the entry for ${where.key} in ${where.file} is not base64 of user:password`, {
      host: where.key,
      credentialSource: where.file,
      hint: `log in again with: imgtool login ${where.key}`,
    });
  }
  const [identityToken, registryToken] = [text('identitytoken'), text('registrytoken')];
  if (login.password === '' && identityToken === undefined && registryToken === undefined) return undefined;
  return { ...login, identityToken, registryToken, source: where.file };
}

/** The entry of a login in Docker's format; a refresh token replaces the password. */
export function entryText({ identityToken, ...login }: Login): string {
  return JSON.stringify(
    identityToken === undefined
      ? { auth: encodeLogin(login) }
      : { auth: encodeLogin({ ...login, password: '' }), identitytoken: identityToken },
  );
}

/** The `auth` of an entry, which is also the value after `Basic` in a header (RFC 7617). */
export function encodeLogin({ username, password }: Login): string {
  return Buffer.from(`${username}:${password}`, 'utf8').toString('base64');
}

function decode(auth: string): Login | undefined {
  // `base64` without -w0 wraps lines, which Go's decoder in all other clients ignores.
  const base64 = auth.replace(/[\r\n]/g, '');
  if (!/^[A-Za-z0-9+/_-]+=*$/.test(base64)) return undefined;
  const text = Buffer.from(base64, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  // Old versions of Docker padded with zeros.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
}
