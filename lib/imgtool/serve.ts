import { UsageError } from '../errors.js';
import type { RunningServer } from '../server/index.js';
import { checkOptions, type OptionKinds } from './check-options.js';
import { signalOf, STOPPABLE, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { DEFAULTS } from './defaults.js';

export interface ServeOptions extends Stoppable {
  /** `HOST:PORT`; port 0 picks a free one. Default: `127.0.0.1:5000`. */
  readonly listen?: string | undefined;
  /** Directory of the repositories. Default: ROOT-registry. */
  readonly dir?: string | undefined;
  /** Serves the images of the store instead, read-only. */
  readonly store?: boolean | undefined;
  /** Refuses pushes and deletions. */
  readonly readOnly?: boolean | undefined;
  /** Requires the tokens of protocol v1, for testing clients. */
  readonly v1Tokens?: boolean | undefined;
}

/** A registry that runs until it is closed or the signal of `serve` aborts. */
export interface ServedRegistry extends Pick<RunningServer, 'address' | 'url' | 'close' | 'closed'> {
  /** The directory or store that it serves. */
  readonly serves: { readonly dir: string } | { readonly store: string };
  /** The host in `listen`. */
  readonly host: string;
  readonly readOnly: boolean;
  [Symbol.asyncDispose](): Promise<void>;
}

const SERVE: OptionKinds<ServeOptions> = {
  ...STOPPABLE,
  ...{ listen: 'text', dir: 'text', store: 'flag', readOnly: 'flag', v1Tokens: 'flag' },
};

export async function serve(drivers: Drivers, given: ServeOptions): Promise<ServedRegistry> {
  const options = checkOptions('serve', given, SERVE);
  const { store = false } = options;
  if (store && options.dir !== undefined)
    throw new UsageError('--store and --dir exclude each other', { hint: 'one server serves one of them' });
  const { host, port } = parseListen(options.listen ?? DEFAULTS.listen);
  const dir = options.dir ?? `${drivers.root.replace(/\/+$/, '')}-registry`;
  const readOnly = store || (options.readOnly ?? false);
  const signal = signalOf(options);
  const server = await drivers.server({
    ...(store ? {} : { dir }),
    ...{ listen: { host, port }, readOnly, v1Tokens: options.v1Tokens ?? false, signal },
  });
  const { address, url, closed } = server;
  const serves = store ? { store: drivers.root } : { dir };
  const close = () => server.close();
  return { address, url, closed, serves, host, readOnly, close, [Symbol.asyncDispose]: close };
}

function parseListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:(\[[0-9a-fA-F:]+\]|[^:\s]*):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65535) {
    throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is not an address to listen on`, {
      hint: 'write HOST:PORT, such as 127.0.0.1:5000',
    });
  }
  return { host: (match[1] || '127.0.0.1').replace(/^\[|\]$/g, ''), port };
}
