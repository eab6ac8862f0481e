import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';

/** The content of a certificate directory in Docker's layout (/etc/docker/certs.d/HOST), as PEM text. */
export interface Certificates {
  /** CA certificates, in addition to the system's. */
  readonly ca?: readonly string[];
  /** The client's certificate. */
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Reads all `*.crt` (CA certificates) and the first pair of `NAME.cert` and `NAME.key` (client certificate) in order of
 * names. Undefined when there is no such directory. Throws UsageError that names the unusable file.
 */
export function readCertificates(directory: string): Certificates | undefined {
  const names = list(directory);
  if (names === undefined) return undefined;
  const ca = names.filter((name) => name.endsWith('.crt')).map((name) => readAuthorities(join(directory, name)));
  const client = names.find((name) => name.endsWith('.cert'));
  const orphan = names.find((name) => name.endsWith('.key') && !names.includes(name.replace(/key$/, 'cert')));
  if (orphan !== undefined) throw certificateError(join(directory, orphan), 'there is no .cert file of the same name');
  return {
    ...(ca.length === 0 ? {} : { ca }),
    ...(client === undefined ? {} : readClient(directory, client, names)),
  };
}

function list(directory: string): string[] | undefined {
  try {
    return readdirSync(directory).sort();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // Files that this user cannot read are not meant for them.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined;
    throw new UsageError(`cannot read the certificates in ${directory} (${code})`, { cause });
  }
}

function readAuthorities(path: string): string {
  const text = read(path);
  check(path, text, 'a certificate', (pem) => new X509Certificate(pem));
  return text;
}

function readClient(directory: string, name: string, names: readonly string[]): { cert: string; key: string } {
  const [certPath, keyName] = [join(directory, name), name.replace(/cert$/, 'key')];
  if (!names.includes(keyName)) throw certificateError(certPath, `its key ${keyName} is not in the same directory`);
  const keyPath = join(directory, keyName);
  const [cert, key] = [read(certPath), read(keyPath)];
  const certificate = check(certPath, cert, 'a certificate', (pem) => new X509Certificate(pem));
  const privateKey = check(keyPath, key, 'a private key without passphrase', (pem) => createPrivateKey(pem));
  if (!certificate.checkPrivateKey(privateKey)) throw certificateError(keyPath, `it is not the key of ${name}`);
  return { cert, key };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UsageError(`cannot read ${path} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

function check<T>(path: string, pem: string, what: string, parse: (pem: string) => T): T {
  try {
    return parse(pem);
  } catch (cause) {
    throw certificateError(path, `it is not ${what} in PEM`, cause);
  }
}

function certificateError(path: string, why: string, cause?: unknown): UsageError {
  return new UsageError(`${path} cannot be used: ${why}`, {
    hint: 'name CA certificates NAME.crt, a client certificate NAME.cert and its key NAME.key, all in PEM format',
    cause,
  });
}
