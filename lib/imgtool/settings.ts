import type { CredentialLookup } from '../auth/index.js';
import type { ProgressEvent, ProgressSink, StepEvent } from '../progress/index.js';
import { bytesOf, checkOptions, type OptionKinds } from './check-options.js';
import { DEFAULTS } from './defaults.js';

/** What can be set for one registry; wins over `tlsVerify` and over the machine's registries.conf. */
export interface HostSettings {
  readonly tlsVerify?: boolean | undefined;
  /** Host of its token service, which may get passwords. */
  readonly tokenService?: string | undefined;
}

/** Options of `new Imgtool`: the global options of the command line in camel case, and what only programs have. */
export interface ImgtoolOptions {
  /** Directory of the store. Default: /var/lib/imgtool. */
  readonly root?: string | undefined;
  /** False: any certificate and plain HTTP are accepted. Default: true. */
  readonly tlsVerify?: boolean | undefined;
  /** Transfers at once to one registry. Default: 6. */
  readonly parallel?: number | undefined;
  /** Parts of one large blob to fetch at once. Default: several where one connection is slow. */
  readonly connections?: number | undefined;
  /** Bytes per second for all transfers together, as a number or as text such as `10MiB`. Default: no limit. */
  readonly limitRate?: number | string | undefined;
  /** How often a failed request is tried again. Default: 3. */
  readonly retry?: number | undefined;
  /** Seconds without a byte before a request fails. Default: 60. */
  readonly timeout?: number | undefined;
  /** Registry protocol to speak. Default: `auto`. */
  readonly registryVersion?: 'auto' | '1' | '2' | undefined;
  /** `USER[:PASSWORD]` for the one registry that a call names. */
  readonly creds?: string | undefined;
  /** Where values come from, for messages; `flag` for `creds` refuses calls that name no registry. Default: `option`. */
  readonly origins?: { readonly root?: string; readonly creds?: string } | undefined;
  /** Credentials file in the form of Docker's config.json, instead of those of the user. */
  readonly authfile?: string | undefined;
  /** Directory with *.crt (authorities), *.cert and *.key (client), instead of those of the machine. */
  readonly certDir?: string | undefined;
  /** Finds logins instead of the credentials files. */
  readonly credentials?: CredentialLookup | undefined;
  /** Settings of single registries, by `host[:port]`. */
  readonly hosts?: Readonly<Record<string, HostSettings>> | ((host: string) => HostSettings) | undefined;
  /** Address of the queue that `sync` leaves work in: redis://HOST. Default: none, the work is done here. */
  readonly queue?: string | undefined;
  /** Environment to take proxies, HOME, TMPDIR and the like from. Default: that of the process. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Told how far the work is; what it throws is an uncaught exception. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Told of the steps of builds; as `onProgress`. */
  readonly onStep?: ((event: StepEvent) => void) | undefined;
  /** Told one-line remarks for people. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** Remarks about every request. Default: false. */
  readonly debug?: boolean | undefined;
  /** Ends a wait for another process that creates or mounts the pool of the store. */
  readonly signal?: AbortSignal | undefined;
}

/** `ImgtoolOptions`, checked and complete. */
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

/** Checks the options and fills in what is not given. Throws UsageError. */
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

/** A listener that throws is the program's own bug and ends it, as with an EventEmitter; it never leaves work half done. */
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
