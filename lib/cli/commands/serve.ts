import { UsageError } from '../../errors.js';
import { DEFAULTS } from '../../imgtool/index.js';
import type { CommandTable } from '../command.js';
import type { Options } from '../options/options.js';

export const serve: CommandTable = {
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
      default: DEFAULTS.listen,
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
  async run({ options, signal, progress, imgtool, print }) {
    const store = servesStore(options);
    const server = await imgtool.serve({
      listen: options.text('listen'),
      ...(store ? { store } : { dir: options.text('dir') }),
      readOnly: options.flag('read-only'),
      v1Tokens: options.flag('v1-tokens'),
      signal,
    });
    try {
      print({ json: { url: server.url, ...server.serves }, text: [server.url] });
      const { host, readOnly } = server;
      if (!/^(127\.|::1$|localhost$)/.test(host))
        progress.note(`anyone who can reach ${host} can read${readOnly ? '' : ' and write'} here`);
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    } finally {
      await server.close();
    }
    return undefined;
  },
};

/** A flag wins over the other option's variable or config key. */
function servesStore(options: Options): boolean {
  if (!options.flag('store') || options.origin('dir') !== 'flag') return options.flag('store');
  if (options.origin('store') !== 'flag') return false;
  throw new UsageError('--store and --dir exclude each other', { hint: 'one server serves one of them' });
}
