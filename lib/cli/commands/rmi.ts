import type { RemovedImage } from '../../operations/index.js';
import type { CommandResult, CommandSpec } from '../command.js';

export const rmi: CommandSpec = {
  path: ['rmi'],
  group: 'Images',
  summary: 'remove images: a name, and with the last name the image',
  description:
    'With an ID the image goes with all its names. Layers and blobs that nothing else needs go with it. An image that a ' +
    'container uses is refused; -f then removes the name only.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique prefix of one', variadic: true, completes: 'image' }],
  options: [{ name: 'force', short: 'f', default: false, summary: 'remove the name of an image in use' }],
  examples: [{ command: 'imgtool rmi alpine:3.19 alpine:3.18', does: 'remove two images' }],
  async run({ args, options, signal, compose, print }) {
    const { removeImage } = await import('../../operations/index.js');
    const deps = await compose.local();
    const results: RemovedImage[] = [];
    const result = (): CommandResult => ({
      json: results,
      text: results.flatMap(({ id, untagged, removed, layers }) => [
        ...untagged.map((name) => `untagged ${name}`),
        ...(removed ? [`removed ${id} and ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}`] : []),
      ]),
    });
    try {
      for (const image of args) results.push(await removeImage(deps, { image, force: options.flag('force'), signal }));
    } catch (error) {
      if (results.length > 0) print(result());
      throw error;
    }
    return result();
  },
};
