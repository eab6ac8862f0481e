import { familiarReference, parseReference } from '../../spec/index.js';
import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import type { CommandSpec } from '../command.js';
import { shortDigest } from '../progress-lines.js';

export const images: CommandSpec = {
  path: ['images'],
  group: 'Images',
  summary: 'list the images in the store',
  description:
    'SIZE is the unpacked size, EXCLUSIVE the part of it that no other image shares. With --quiet only IDs are printed.',
  arguments: [
    {
      name: 'FILTER',
      summary: 'part of a name or the start of an ID; * matches anything',
      optional: true,
      completes: 'image',
    },
  ],
  options: [],
  examples: [
    { command: 'imgtool images', does: 'list all images' },
    { command: "imgtool images 'alpine:*' --json", does: 'list the alpine images as JSON' },
  ],
  async run({ args, imgtool }) {
    const list = await imgtool.images(args[0]);
    return {
      json: list,
      text: {
        columns: [
          'NAME',
          'IMAGE ID',
          'CREATED',
          { title: 'SIZE', align: 'right' },
          { title: 'EXCLUSIVE', align: 'right' },
        ],
        rows: list.flatMap((image) =>
          (image.names.length === 0 ? ['<none>'] : image.names.map(shortName)).map((name) => [
            name,
            shortDigest(image.id),
            formatAge(image.created),
            formatSize(image.size),
            formatSize(image.exclusiveSize),
          ]),
        ),
      },
      quiet: [...new Set(list.map(({ id }) => id))],
    };
  },
};

/** A name as people type it. */
export function shortName(name: string): string {
  return familiarReference(parseReference(name));
}
