import { isLoopbackHost } from '../http/index.js';

/**
 * The origins to try for `host[:port]`, in order. Loopback hosts are tried over plain HTTP first, as nearly all of them
 * use it; other hosts over plain HTTP only when `tlsVerify` is false, and then last.
 */
export function candidateOrigins(host: string, tlsVerify: boolean): readonly string[] {
  const schemes = isLoopbackHost(host) ? ['http', 'https'] : tlsVerify ? ['https'] : ['https', 'http'];
  return schemes.map((scheme) => new URL(`${scheme}://${host}`).origin);
}
