import type { Garbage } from '../../operations/index.js';
import { escapeText, formatSize, parseSize } from '../../util/index.js';
import type { CommandResult, CommandSpec } from '../command.js';
import { shortDigest } from '../progress-lines.js';

export const storeGc: CommandSpec = {
  path: ['store', 'gc'],
  group: 'Store',
  summary: 'remove what no image and no container needs',
  description:
    'Layers and blobs without an image, what killed processes left, downloads that nobody has gone on with for a day. Images ' +
    'stay, unless --keep-storage says how much may.',
  arguments: [],
  options: [
    { name: 'dry-run', short: 'n', default: false, summary: 'say what would go; change nothing' },
    {
      name: 'keep-storage',
      value: 'SIZE',
      parse: parseSize,
      summary:
        'remove images too, pulled longest ago first and none that a container uses, until no more than this is left',
    },
    {
      name: 'drop-blobs',
      default: false,
      summary: 'give up compressed layers that a registry has too; a push mounts or fetches them, or packs them anew',
    },
  ],
  examples: [
    { command: 'imgtool store gc --dry-run', does: 'what would go' },
    { command: 'imgtool store gc --keep-storage 20GiB', does: 'in a nightly job' },
  ],
  async run({ options, signal, imgtool }) {
    const dryRun = options.flag('dry-run');
    const garbage = await imgtool.storeGc({
      keepStorage: options.number('keep-storage'),
      dropBlobs: options.flag('drop-blobs'),
      dryRun,
      signal,
    });
    return described(garbage, dryRun);
  },
};

function described(garbage: Garbage, dryRun: boolean): CommandResult {
  const { images, layers, blobs, downloads, uploads, bytes } = garbage;
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
      ...(uploads === 0 ? [] : [`uploads   ${uploads} forgotten`]),
      `${dryRun ? 'would free' : 'freed'} ${formatSize(bytes)}`,
    ],
  };
}
