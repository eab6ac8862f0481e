import type { KnownHosts } from '../http/index.js';
import type { RegistryAccess } from '../operations/index.js';
import type { RegistryClientOptions } from '../registry/index.js';
import type { Settings } from './settings.js';

/** Options of registry clients, from the settings and the machine's configuration (registries.conf, certs.d, proxies). Throws UsageError. */
export async function clientOptions(
  settings: Settings,
  knownHosts: KnownHosts,
  { tlsVerify, certDir }: Pick<RegistryAccess, 'tlsVerify' | 'certDir'>,
): Promise<RegistryClientOptions> {
  const { hostCertificates, proxyFor, registrySources, runtimeDirectory, thisMachine } =
    await import('../hosts/index.js');
  const { limitRate, connections, progress } = settings;
  const machine = thisMachine(settings.env);
  const sources = await registrySources(machine);
  const timeoutMs = settings.timeout * 1000;
  const verifyAll = tlsVerify ?? settings.tlsVerify;
  return {
    parallel: settings.parallel,
    retries: settings.retry,
    knownHosts,
    timeouts: { connectMs: Math.min(timeoutMs, 15_000), responseMs: timeoutMs, stallMs: timeoutMs },
    limitsDirectory: runtimeDirectory(machine),
    ...(limitRate === undefined ? {} : { limitRate }),
    ...(connections === undefined ? {} : { connections }),
    tokenService: (host) => settings.host(host).tokenService,
    tls: hostCertificates(machine, certDir ?? settings.certDir),
    proxy: proxyFor(machine),
    sources: sources.of,
    checkPlace: sources.check,
    warn: (line) => progress.note(line),
    registryVersion: settings.registryVersion,
    tlsVerify: (host) => verifyAll && (settings.host(host).tlsVerify ?? !sources.insecure(host)),
    ...(settings.debug ? { log: (line: string) => progress.note(line) } : {}),
  };
}
