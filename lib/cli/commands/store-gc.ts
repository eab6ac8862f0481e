import { DEFAULTS } from '../../imgtool/index.js';
import type { Garbage } from '../../operations/index.js';
import { escapeText, formatSize, parseSize } from '../../util/index.js';
import type { CommandResult, CommandTable } from '../command.js';
import { shortDigest } from '../short-digest.js';

export const storeGc: CommandTable = {
  group: 'Store',
  summary: 'remove data that no image or container needs',
  description:
    'Removes unused layers and blobs, leftovers of killed processes and downloads untouched for a day. Images ' +
    'stay unless --keep-storage is given.',
  arguments: [],
  options: [
    { name: 'dry-run', short: 'n', default: false, summary: 'show what would be removed; change nothing' },
    {
      name: 'keep-storage',
      value: 'SIZE',
      parse: parseSize,
      summary: 'also remove images that no container uses, oldest pull first, until at most this much is left',
    },
    {
      name: 'drop-blobs',
      default: false,
      summary: 'remove compressed layers that a registry has too; a push then mounts, fetches or repacks them',
    },
    {
      name: 'keep-cache',
      value: 'SIZE',
      parse: parseSize,
      summary: 'also drop steps of builds and cache mounts, longest unused first, until at most this much is left',
    },
    {
      name: 'cache-ttl',
      value: 'AGE',
      default: DEFAULTS.cacheTtl,
      summary: 'drop steps of builds and cache mounts unused for this long',
    },
  ],
  examples: [
    { command: 'imgtool store gc --dry-run', does: 'show what would be removed' },
    { command: 'imgtool store gc --keep-storage 20GiB', does: 'limit the size of the store, for example every night' },
  ],
  async run({ options, signal, imgtool }) {
    const dryRun = options.flag('dry-run');
    const garbage = await imgtool.storeGc({
      keepStorage: options.number('keep-storage'),
      dropBlobs: options.flag('drop-blobs'),
      keepCache: options.number('keep-cache'),
      cacheTtl: options.text('cache-ttl'),
      dryRun,
      signal,
    });
    return described(garbage, dryRun);
  },
};

function described(garbage: Garbage, dryRun: boolean): CommandResult {
  const { images, layers, blobs, downloads, uploads, steps, caches, bytes } = garbage;
  const line = (what: string, digest: string, size: number): string =>
    `${what.padEnd(9)} ${shortDigest(digest)}  ${formatSize(size)}`;
  return {
    json: { dryRun, ...garbage },
    text: [
      ...images.map(({ id, names }) => `image     ${shortDigest(id)}  ${names.join(', ')}`.trimEnd()),
      ...layers.map(({ chainId, size }) => line('layer', chainId, size)),
      ...blobs.map(({ digest, size }) => line('blob', digest, size)),
      ...downloads.map(({ digest, v1Id = '', host, size }) =>
        digest !== null
          ? line('download', digest, size)
          : `download  ${escapeText(`${v1Id.slice(0, 12)} of ${host}`)}  ${formatSize(size)}`,
      ),
      ...steps.map(({ key, size }) => line('step', key, size)),
      ...caches.map(({ id, size }) => `cache     ${escapeText(id === '' ? 'half made' : id)}  ${formatSize(size)}`),
      ...(uploads === 0 ? [] : [`uploads   ${uploads} forgotten`]),
      `${dryRun ? 'would free' : 'freed'} ${formatSize(bytes)}`,
    ],
  };
}
