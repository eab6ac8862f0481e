import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';

/** PEM texts of a certificate directory, as Docker lays them out in /etc/docker/certs.d. */
export interface Certificates {
  /** Authorities. */
  readonly ca?: readonly string[];
  /** Certificate and key of the client. */
  readonly cert?: string;
  readonly key?: string;
}

/** Reads `*.crt` (authorities), `*.cert` and `*.key` (client; the first of each by name). Throws UsageError. */
export function readCertificates(directory: string): Certificates {
  try {
    const names = readdirSync(directory).sort();
    const read = (suffix: string): string[] =>
      names.filter((name) => name.endsWith(suffix)).map((name) => readFileSync(join(directory, name), 'utf8'));
    const [ca, [cert], [key]] = [read('.crt'), read('.cert'), read('.key')];
    return {
      ...(ca.length === 0 ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
  } catch (cause) {
    throw new UsageError(`cannot read the certificates in ${directory} (${(cause as NodeJS.ErrnoException).code})`, {
      hint: 'check --cert-dir',
      cause,
    });
  }
}
