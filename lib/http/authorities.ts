import { readFileSync } from 'node:fs';

/** Where distributions keep the authorities of the system, as Go's crypto/x509 looks for them. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
] as const;

let known: readonly string[] | undefined;

/**
 * PEM texts of the authorities this machine trusts: the file of `SSL_CERT_FILE` or the distribution's bundle, and that of
 * `NODE_EXTRA_CA_CERTS`. Undefined where there is none of them: then node's own list serves. Read once.
 */
export function systemAuthorities(): readonly string[] | undefined {
  known ??= readAll();
  return known.length === 0 ? undefined : known;
}

function readAll(): string[] {
  const { SSL_CERT_FILE: chosen, NODE_EXTRA_CA_CERTS: extra } = process.env;
  const bundles = chosen === undefined || chosen === '' ? BUNDLES : [chosen];
  const bundle = bundles.map(readIfThere).find((text) => text !== undefined);
  if (bundle === undefined) return [];
  const more = extra === undefined ? undefined : readIfThere(extra);
  return more === undefined ? [bundle] : [bundle, more];
}

function readIfThere(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    return text.includes('-----BEGIN') ? text : undefined;
  } catch {
    return undefined;
  }
}
