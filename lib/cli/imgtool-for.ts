import { Imgtool, type ImgtoolOptions } from '../imgtool/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { ConfigFile } from './config-file.js';
import { registrySetting } from './registry-settings.js';
import type { Options } from './options/options.js';

/** Creates the library with the global options as settings. Throws UsageError. */
export function imgtoolFor(
  options: Options,
  {
    files,
    progress,
    env,
    signal,
  }: {
    readonly files: readonly ConfigFile[];
    readonly progress: ProgressSink;
    readonly env: NodeJS.ProcessEnv;
    readonly signal?: AbortSignal;
  },
): Imgtool {
  return new Imgtool({
    root: options.text('root'),
    tlsVerify: options.flag('tls-verify'),
    parallel: options.number('parallel'),
    connections: options.number('connections'),
    limitRate: options.number('limit-rate'),
    retry: options.number('retry'),
    timeout: options.number('timeout'),
    registryVersion: options.text('registry-version') as ImgtoolOptions['registryVersion'],
    creds: options.text('creds'),
    origins: { root: options.origin('root'), creds: options.origin('creds') },
    authfile: options.text('authfile'),
    certDir: options.text('cert-dir'),
    hosts: (host) => ({
      tlsVerify: registrySetting(files, host, 'tls-verify'),
      tokenService: registrySetting(files, host, 'token-service'),
    }),
    queue: options.find('queue'),
    env,
    onProgress: (event) => progress.event(event),
    onStep: (event) => progress.step?.(event),
    onNote: (line) => progress.note(line),
    debug: options.text('log-level') === 'debug',
    signal,
  });
}
