import { AuthenticationError } from '../errors.js';
import { isLoopbackHost, mayLeadTo, redactUrl } from '../http/index.js';

/** Token services on another host than their registry, known to belong to it. */
const KNOWN_SERVICES: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'registry.hub.docker.com': 'auth.docker.io',
  'registry.gitlab.com': 'gitlab.com',
  'registry.digitalocean.com': 'api.digitalocean.com',
};

/**
 * Checks where a bearer challenge wants its token fetched (CVE-2026-33540). Plain http only from a registry that was
 * itself reached by plain http, and then on the loopback range or the same host; a public registry leads to no address of
 * this machine or of a private network (`mayLeadTo`); a password goes only to the registry's own host, a service known to belong to it, or the `trusted`
 * host that the user named for it.
 * Throws AuthenticationError.
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
  if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse('that is not an http address');
  if (url.username !== '' || url.password !== '') refuse('an address with a user name in it is refused');
  const sameHost = url.hostname === registry.hostname;
  const bothLoopback = isLoopbackHost(url.host) && isLoopbackHost(registry.host);
  if (url.protocol === 'http:' && !(registry.protocol === 'http:' && (sameHost || bothLoopback))) {
    refuse('a token service must answer https');
  }
  if (url.host !== trusted && !(await mayLeadTo(registry, url))) refuse('that is an address of a private network');
  const belongs = sameHost || bothLoopback || url.host === trusted || url.host === KNOWN_SERVICES[registry.host];
  if (withPassword && !belongs) {
    refuse(
      'that is another host, which must not get your password',
      `if it belongs to the registry, say so in the configuration: registries: {"${host}": {token-service: "${url.host}"}}`,
    );
  }
  return url;
}
