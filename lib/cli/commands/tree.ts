import { formatSize } from '../../util/index.js';
import type { CommandSpec } from '../command.js';
import { shortDigest } from '../progress-lines.js';
import { shortName } from './images.js';

export const tree: CommandSpec = {
  path: ['tree'],
  group: 'Images',
  summary: 'show the layers of an image and who shares them',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique prefix of one', completes: 'image' }],
  options: [],
  examples: [{ command: 'imgtool tree alpine', does: 'layers, oldest first' }],
  async run({ args, compose }) {
    const { imageTree } = await import('../../operations/index.js');
    const image = await imageTree(await compose.local(), args[0]!);
    const title = image.names.length === 0 ? '<none>' : image.names.map(shortName).join(', ');
    const lines = image.layers.map((layer, index) => {
      const branch = index === image.layers.length - 1 ? '└─' : '├─';
      const shared = layer.sharedWith.length === 0 ? '' : `  shared with ${layer.sharedWith.join(', ')}`;
      const used = layer.containers.length === 0 ? '' : `  used by ${layer.containers.join(', ')}`;
      return `${branch} ${shortDigest(layer.chainId)}  ${formatSize(layer.size).padStart(6)}  ${layer.entries} entries${shared}${used}`;
    });
    return {
      json: image,
      text: [
        `${title}  ${shortDigest(image.id)}  ${formatSize(image.size)} (${formatSize(image.exclusiveSize)} exclusive)`,
        ...lines,
      ],
    };
  },
};
