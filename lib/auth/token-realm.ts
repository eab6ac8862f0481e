import { AuthenticationError } from '../errors.js';
import { isLoopbackHost, mayLeadTo, redactUrl } from '../http/index.js';

/** Known token services on another host than their registry. */
const KNOWN_SERVICES: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'registry.hub.docker.com': 'auth.docker.io',
  'registry.gitlab.com': 'gitlab.com',
  'registry.digitalocean.com': 'api.digitalocean.com',
};

/**
 * Checks the token service named by a bearer challenge (CVE-2026-33540). Plain HTTP is allowed only when the registry
 * itself was reached over plain HTTP, and then only on loopback or the same host. A public registry must not name an
 * address of this machine or a private network (`mayLeadTo`). A password goes only to the registry's own host, a known
 * service of it, or the `trusted` host configured by the user. Throws AuthenticationError.
 */
export async function checkTokenRealm(
  realm: string | undefined,
  options: {
    readonly registryUrl: string;
    readonly host: string;
    readonly withPassword: boolean;
    readonly trusted?: string | undefined;
  },
): Promise<URL> {
  const { host, withPassword, trusted } = options;
  const registry = new URL(options.registryUrl);
  const refuse = (why: string, hint?: string): never => {
    throw new AuthenticationError(`${host} asks for a token from ${redactUrl(realm ?? '')}: ${why}`, {
      host,
      scheme: 'bearer',
      hint,
    });
  };
  let url: URL;
  try {
    url = new URL(realm ?? '');
  } catch {
    throw new AuthenticationError(`${host} asks for a token but does not name a token service`, {
      host,
      scheme: 'bearer',
    });
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse('that is not an http URL');
  if (url.username !== '' || url.password !== '') refuse('a URL with a user name is refused');
  const sameHost = url.hostname === registry.hostname;
  const bothLoopback = isLoopbackHost(url.host) && isLoopbackHost(registry.host);
  if (url.protocol === 'http:' && !(registry.protocol === 'http:' && (sameHost || bothLoopback))) {
    refuse('a token service must use HTTPS');
  }
  if (url.host !== trusted && !(await mayLeadTo(registry, url))) refuse('that is an address in a private network');
  const belongs = sameHost || bothLoopback || url.host === trusted || url.host === KNOWN_SERVICES[registry.host];
  if (withPassword && !belongs) {
    refuse(
      'that is another host, which must not get your password',
      `if it belongs to the registry, say so in the configuration: registries: {"${host}": {token-service: "${url.host}"}}`,
    );
  }
  return url;
}
