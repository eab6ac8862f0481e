import type { CommandSpec } from '../command.js';
import { forEachArgument } from './for-each-argument.js';

export const rmi: CommandSpec = {
  path: ['rmi'],
  group: 'Images',
  summary: 'remove images: a name, and with the last name the image',
  description:
    'With an ID the image goes with all its names. Layers and blobs that nothing else needs go with it. An image that a ' +
    'container uses is refused; -f then removes the name only. What cannot be removed does not keep the others.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique prefix of one', variadic: true, completes: 'image' }],
  options: [{ name: 'force', short: 'f', default: false, summary: 'remove the name of an image in use' }],
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
