import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The places where Go's crypto/x509 looks for the system's CA bundle. */
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
 * The CA certificates that this machine trusts, as PEM texts: the file of `SSL_CERT_FILE` or the distribution's bundle,
 * the files in the directories of `SSL_CERT_DIR`, and the file of `NODE_EXTRA_CA_CERTS`. Undefined when there are none;
 * node's built-in list applies then. Read once per process.
 */
export function systemAuthorities(): readonly string[] | undefined {
  known ??= readAll();
  return known.length === 0 ? undefined : known;
}

function readAll(): string[] {
  const { SSL_CERT_FILE: chosen, SSL_CERT_DIR: directories = '', NODE_EXTRA_CA_CERTS: extra } = process.env;
  const bundles = chosen === undefined || chosen === '' ? BUNDLES : [chosen];
  const bundle = bundles.map(readIfThere).find((text) => text !== undefined);
  const single = directories.split(':').filter(Boolean).flatMap(readDirectory);
  const found = bundle === undefined ? single : [bundle, ...single];
  if (found.length === 0) return [];
  const more = extra === undefined ? undefined : readIfThere(extra);
  return more === undefined ? found : [...found, more];
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;

/** The certificates in a directory, without duplicates: many files have a second name, their hash. Skips other files. */
function readDirectory(path: string): string[] {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch {
    return [];
  }
  const texts = names.sort().flatMap((name) => readIfThere(join(path, name))?.match(CERTIFICATE) ?? []);
  return [...new Set(texts)].filter(isCertificate);
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    return text.includes('-----BEGIN') ? text : undefined;
  } catch {
    return undefined;
  }
}
