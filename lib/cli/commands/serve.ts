import { UsageError } from '../../errors.js';
import type { CommandSpec } from '../command.js';
import type { Options } from '../options.js';

const DEFAULT_LISTEN = '127.0.0.1:5000';

export const serve: CommandSpec = {
  path: ['serve'],
  group: 'Registries',
  summary: 'run a registry that serves a directory or the images in the store',
  description:
    "Speaks OCI distribution-spec 1.1 and Docker's registry protocol v1 over plain HTTP, without authentication: keep it on the loopback address. Prints its URL and " +
    'runs until it is interrupted.',
  arguments: [],
  options: [
    {
      name: 'listen',
      value: 'HOST:PORT',
      default: DEFAULT_LISTEN,
      summary: 'address to listen on; port 0: any free port',
    },
    { name: 'dir', value: 'DIR', summary: 'directory of the repositories; default: ROOT-registry' },
    { name: 'store', default: false, summary: 'serve the images in the local store, read-only' },
    { name: 'read-only', default: false, summary: 'refuse pushes and deletions' },
    {
      name: 'v1-tokens',
      default: false,
      summary: 'require the tokens of protocol v1, to test clients; every client gets one',
    },
  ],
  examples: [
    { command: 'imgtool serve --dir /srv/registry', does: 'a registry on localhost:5000' },
    { command: 'imgtool serve --store', does: 'serve the local store to podman, docker or another imgtool' },
    { command: 'imgtool serve --listen 127.0.0.1:0 --json', does: 'on a free port; the JSON has the URL' },
  ],
  async run({ options, signal, progress, compose, print }) {
    const { host, port } = parseListen(options.text('listen')!);
    const dir = options.text('dir') ?? `${compose.root.replace(/\/+$/, '')}-registry`;
    const store = servesStore(options);
    const readOnly = store || options.flag('read-only');
    const server = await compose.server({
      ...(store ? {} : { dir }),
      listen: { host, port },
      readOnly,
      v1Tokens: options.flag('v1-tokens'),
      signal,
    });
    try {
      print({ json: { url: server.url, ...(store ? { store: compose.root } : { dir }) }, text: [server.url] });
      if (!/^(127\.|::1$|localhost$)/.test(host))
        progress.note(`anybody who reaches ${host} can read${readOnly ? '' : ' and write'} here`);
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    } finally {
      await server.close();
    }
    return undefined;
  },
};

/** A flag wins over what a variable or file says of the other. */
function servesStore(options: Options): boolean {
  if (!options.flag('store') || options.origin('dir') !== 'flag') return options.flag('store');
  if (options.origin('store') !== 'flag') return false;
  throw new UsageError('--store and --dir exclude each other', { hint: 'one server serves one of them' });
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
