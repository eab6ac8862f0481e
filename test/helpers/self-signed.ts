import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './run.js';

/** Makes a self-signed certificate for 127.0.0.1 and localhost, PEM (package openssl). */
export async function makeSelfSigned(): Promise<{ readonly key: string; readonly cert: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'imgtool-cert-'));
  try {
    const [key, cert] = [join(directory, 'key'), join(directory, 'cert')];
    const names = 'subjectAltName=IP:127.0.0.1,DNS:localhost';
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    const subject = ['-subj', '/CN=imgtool-test', '-addext', names, '-days', '2'];
    await run('openssl', ['req', '-x509', ...curve, '-nodes', '-keyout', key, '-out', cert, ...subject]);
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  } finally {
    await rm(directory, { recursive: true });
  }
}
