import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { readCertificates, type Certificates } from './certificates.js';
import type { MachineEnvironment } from './machine.js';

const HUB_API = 'registry-1.docker.io';

/** The certificate directories of Docker and podman, in podman's order. */
function roots({ home }: MachineEnvironment): string[] {
  return [
    join(home, '.config/containers/certs.d'),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
    join(home, '.config/docker/certs.d'),
  ];
}

/**
 * Returns a function that finds the certificates for `host[:port]`: those in `certDir` for every host, or else the
 * first directory of that name in Docker's and podman's certs.d. Reads each host once. The function throws UsageError
 * for unusable files.
 */
export function hostCertificates(
  machine: MachineEnvironment,
  certDir: string | undefined,
): (host: string) => Certificates | undefined {
  if (certDir !== undefined) {
    const all = readCertificates(certDir);
    if (all === undefined)
      throw new UsageError(`the directory ${certDir} does not exist`, { hint: 'check --cert-dir' });
    return () => all;
  }
  const known = new Map<string, Certificates | undefined>();
  return (host) => {
    if (!known.has(host)) known.set(host, find(roots(machine), host === HUB_API ? 'docker.io' : host));
    return known.get(host);
  };
}

function find(directories: readonly string[], host: string): Certificates | undefined {
  // The name becomes part of a path.
  if (!/^[\w.\-:[\]]+$/.test(host) || host.startsWith('.')) return undefined;
  for (const directory of directories) {
    const found = readCertificates(join(directory, host));
    if (found !== undefined) return found;
  }
  return undefined;
}
