import type { CredentialLookup } from '../auth/index.js';
import type { ProgressEvent, ProgressSink, StepEvent } from '../progress/index.js';
import { bytesOf, checkOptions, type OptionKinds } from './check-options.js';
import { DEFAULTS } from './defaults.js';

/** Settings of one registry; they override `tlsVerify` and the machine's registries.conf. */
export interface HostSettings {
  readonly tlsVerify?: boolean | undefined;
  /** Host of its token service, which may receive passwords. */
  readonly tokenService?: string | undefined;
}

/** Options of `new Imgtool`: the command line's global options in camel case, and some only for programs. */
export interface ImgtoolOptions {
  /** Directory of the store. Default: /var/lib/imgtool. */
  readonly root?: string | undefined;
  /** False accepts any certificate and plain HTTP. Default: true. */
  readonly tlsVerify?: boolean | undefined;
  /** Concurrent transfers per registry. Default: 6. */
  readonly parallel?: number | undefined;
  /** Concurrent parts of one large blob. Default: several if one connection is slow. */
  readonly connections?: number | undefined;
  /** Limit for all transfers together in bytes per second, or text such as `10MiB`. Default: no limit. */
  readonly limitRate?: number | string | undefined;
  /** Retries of a failed request. Default: 3. */
  readonly retry?: number | undefined;
  /** Seconds without data before a request fails. Default: 60. */
  readonly timeout?: number | undefined;
  /** Registry protocol version. Default: `auto`. */
  readonly registryVersion?: 'auto' | '1' | '2' | undefined;
  /** `USER[:PASSWORD]` for the one registry that a call names. */
  readonly creds?: string | undefined;
  /** Origins of values, for messages; `flag` for `creds` refuses calls that name no registry. Default: `option`. */
  readonly origins?: { readonly root?: string; readonly creds?: string } | undefined;
  /** Credentials file in the format of Docker's config.json, instead of the user's. */
  readonly authfile?: string | undefined;
  /** Directory with *.crt (CAs), *.cert and *.key (client), instead of the machine's. */
  readonly certDir?: string | undefined;
  /** Looks up logins instead of the credentials files. */
  readonly credentials?: CredentialLookup | undefined;
  /** Settings per registry, by `host[:port]`. */
  readonly hosts?: Readonly<Record<string, HostSettings>> | ((host: string) => HostSettings) | undefined;
  /** Address of the job queue of `sync`: redis://HOST. Default: none, the work is done in this process. */
  readonly queue?: string | undefined;
  /** Environment for proxies, HOME, TMPDIR and the like. Default: that of the process. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Receives progress events; an exception in it is uncaught. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Receives the steps of builds, like `onProgress`. */
  readonly onStep?: ((event: StepEvent) => void) | undefined;
  /** Receives one-line notes. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** Also notes every request. Default: false. */
  readonly debug?: boolean | undefined;
  /** Aborts waiting for another process that creates or mounts the store's pool. */
  readonly signal?: AbortSignal | undefined;
}

/** Checked `ImgtoolOptions` with defaults filled in. */
export interface Settings {
  readonly root: string;
  /** `default`, `option`, `flag`, `variable IMGTOOL_ROOT`, … */
  readonly rootOrigin: string;
  readonly tlsVerify: boolean;
  readonly parallel: number;
  readonly connections: number | undefined;
  /** Bytes per second. */
  readonly limitRate: number | undefined;
  readonly retry: number;
  /** Seconds. */
  readonly timeout: number;
  readonly registryVersion: 'auto' | '1' | '2';
  readonly creds: { readonly text: string; readonly origin: string } | undefined;
  readonly authfile: string | undefined;
  readonly certDir: string | undefined;
  readonly credentials: CredentialLookup | undefined;
  readonly host: (host: string) => HostSettings;
  readonly queue: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly debug: boolean;
  readonly signal: AbortSignal | undefined;
  readonly progress: ProgressSink;
}

const KINDS: OptionKinds<ImgtoolOptions> = {
  root: 'name',
  tlsVerify: 'flag',
  parallel: 'count',
  connections: 'count',
  limitRate: 'size',
  retry: 'countOrZero',
  timeout: 'count',
  registryVersion: ['auto', '1', '2'],
  creds: 'text',
  origins: 'object',
  authfile: 'text',
  certDir: 'text',
  credentials: 'function',
  hosts: 'any',
  queue: 'text',
  env: 'object',
  onProgress: 'function',
  onStep: 'function',
  onNote: 'function',
  debug: 'flag',
  signal: 'signal',
};

const HOST_KINDS: OptionKinds<HostSettings> = { tlsVerify: 'flag', tokenService: 'text' };

/** Checks the options and fills in defaults. Throws UsageError. */
export function readSettings(given: ImgtoolOptions): Settings {
  const options = checkOptions('new Imgtool', given, KINDS);
  return {
    root: options.root ?? DEFAULTS.root,
    rootOrigin: options.origins?.root ?? (options.root === undefined ? 'default' : 'option'),
    tlsVerify: options.tlsVerify ?? true,
    parallel: options.parallel ?? DEFAULTS.parallel,
    connections: options.connections,
    limitRate: bytesOf(options.limitRate, undefined),
    retry: options.retry ?? DEFAULTS.retry,
    timeout: options.timeout ?? DEFAULTS.timeout,
    registryVersion: options.registryVersion ?? 'auto',
    creds:
      options.creds === undefined ? undefined : { text: options.creds, origin: options.origins?.creds ?? 'option' },
    authfile: options.authfile,
    certDir: options.certDir,
    credentials: options.credentials,
    host: hostSettings(options.hosts),
    queue: options.queue,
    env: options.env ?? process.env,
    debug: options.debug ?? false,
    signal: options.signal,
    progress: {
      event: guarded(options.onProgress),
      step: guarded(options.onStep),
      note: guarded(options.onNote),
    },
  };
}

function hostSettings(hosts: ImgtoolOptions['hosts'] = {}): Settings['host'] {
  if (typeof hosts === 'function') return hosts;
  checkOptions('new Imgtool', { hosts }, { hosts: 'object' });
  for (const [host, settings] of Object.entries(hosts))
    checkOptions(`new Imgtool: hosts[${host}]`, settings, HOST_KINDS);
  return (host) => (Object.hasOwn(hosts, host) ? hosts[host]! : {});
}

/** An exception in a listener is a bug of the program and ends it, as with an EventEmitter; it never interrupts work half done. */
function guarded<T>(listener: ((value: T) => void) | undefined): (value: T) => void {
  if (listener === undefined) return () => undefined;
  return (value) => {
    try {
      listener(value);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  };
}
