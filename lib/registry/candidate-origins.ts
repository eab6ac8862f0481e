import { isLoopbackHost } from '../http/index.js';

/**
 * Where `host[:port]` may be spoken to, in the order to try: nearly all loopback hosts speak plain http, others it only
 * when `tlsVerify` is off, and then last.
 */
export function candidateOrigins(host: string, tlsVerify: boolean): readonly string[] {
  const schemes = isLoopbackHost(host) ? ['http', 'https'] : tlsVerify ? ['https'] : ['https', 'http'];
  return schemes.map((scheme) => new URL(`${scheme}://${host}`).origin);
}
