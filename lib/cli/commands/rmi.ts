import type { CommandSpec } from '../command.js';
import { forEachArgument } from './for-each-argument.js';

export const rmi: CommandSpec = {
  path: ['rmi'],
  group: 'Images',
  summary: 'remove names of images, and each image with its last name',
  description:
    'An ID removes the image with all its names. Layers and blobs that nothing else needs are removed too. An image that a ' +
    'container uses is refused; -f then removes the name only. If one cannot be removed, the others are removed all the same.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique ID prefix', variadic: true, completes: 'image' }],
  options: [
    { name: 'force', short: 'f', default: false, summary: 'remove the name even if a container uses the image' },
  ],
  examples: [{ command: 'imgtool rmi alpine:3.19 alpine:3.18', does: 'remove two images' }],
  async run(context) {
    const { options, signal, imgtool } = context;
    return forEachArgument(
      context,
      (image) => imgtool.rmi(image, { force: options.flag('force'), signal }),
      (results) => ({
        json: results,
        text: results.flatMap(({ id, untagged, removed, layers }) => [
          ...untagged.map((name) => `untagged ${name}`),
          ...(removed ? [`removed ${id} and ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}`] : []),
        ]),
      }),
    );
  },
};
