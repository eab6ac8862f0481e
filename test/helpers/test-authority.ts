/** A private certificate authority made with openssl, and certificates of it (package openssl). */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './run.js';

/** A certificate and its key, PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A running authority; `close` removes its files. */
export interface TestAuthority {
  /** Its certificate, PEM. */
  readonly ca: string;
  /** Path of its certificate. */
  readonly caPath: string;
  /** Signs a certificate. `names`: as in subjectAltName (`IP:127.0.0.1,DNS:localhost`); `days` may be negative. */
  issue(names: string, days?: number): Promise<KeyPair>;
  close(): void;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Makes an authority. */
export async function makeAuthority(): Promise<TestAuthority> {
  const directory = mkdtempSync(join(tmpdir(), 'imgtool-ca-'));
  const at = (name: string): string => join(directory, name);
  await run('openssl', [
    ...['req', '-x509', ...KEY, '-keyout', at('ca.key'), '-out', at('ca.crt')],
    ...['-subj', '/CN=imgtool test authority', '-days', '2'],
  ]);
  let serial = 0;
  return {
    ca: readFileSync(at('ca.crt'), 'utf8'),
    caPath: at('ca.crt'),
    issue: async (names, days = 2) => {
      const name = `c${++serial}`;
      const [key, csr, extensions, cert] = ['key', 'csr', 'ext', 'crt'].map((suffix) => at(`${name}.${suffix}`)) as [
        string,
        string,
        string,
        string,
      ];
      writeFileSync(extensions, `subjectAltName=${names}`);
      await run('openssl', ['req', ...KEY, '-keyout', key, '-out', csr, '-subj', `/CN=${name}`]);
      const signer = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-set_serial', String(serial)];
      await run('openssl', [
        ...['x509', '-req', '-in', csr, ...signer],
        ...['-days', String(days), '-extfile', extensions, '-out', cert],
      ]);
      return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
    },
    close: () => rmSync(directory, { recursive: true }),
  };
}
