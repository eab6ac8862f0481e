import { familiarReference, parseReference } from '../../spec/index.js';
import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import type { CommandSpec } from '../command.js';
import { shortDigest } from '../progress-lines.js';

export const images: CommandSpec = {
  path: ['images'],
  group: 'Images',
  summary: 'list the images of the store',
  description:
    'SIZE is what the image unpacks to, EXCLUSIVE the part of it that no other image has. With --quiet only IDs are printed.',
  arguments: [
    {
      name: 'FILTER',
      summary: 'part of a name, or the beginning of an ID; * stands for anything',
      optional: true,
      completes: 'image',
    },
  ],
  options: [],
  examples: [
    { command: 'imgtool images', does: 'all images' },
    { command: "imgtool images 'alpine:*' --json", does: 'the alpine ones, for a program' },
  ],
  async run({ args, compose }) {
    const [{ listImages }, deps] = await Promise.all([import('../../operations/index.js'), compose.records()]);
    const list = deps === undefined ? [] : await listImages(deps, args[0]);
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
