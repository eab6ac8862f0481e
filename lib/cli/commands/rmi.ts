import type { RemovedImage } from '../../operations/index.js';
import type { CommandResult, CommandTable } from '../command.js';
import { withoutEffect } from '../options/peers.js';
import { argumentsOrAll, forEachArgument, ignoring } from './for-each-argument.js';

export const rmi: CommandTable = {
  group: 'Images',
  summary: 'remove names of images, and each image with its last name',
  description:
    'An ID removes the image with all its names. Layers and blobs that nothing else needs are removed too. An image that a ' +
    'container uses is refused; -f then removes the name only. If one cannot be removed, the others are removed all the same. ' +
    '"imgtool store gc" removes what killed processes have left, and with --keep-storage old images.',
  arguments: [
    { name: 'IMAGE', summary: 'name, ID or unique ID prefix', optional: true, variadic: true, completes: 'image' },
  ],
  options: [
    { name: 'all', short: 'a', default: false, summary: 'remove all images' },
    {
      name: 'filter',
      value: 'KEY=VALUE',
      repeat: true,
      summary: 'remove matching images; filters as in imgtool images',
    },
    { name: 'force', short: 'f', default: false, summary: 'remove the name even if a container uses the image' },
    { name: 'ignore', short: 'i', default: false, summary: 'an image that does not exist is no error' },
    withoutEffect('no-prune', 'removing an image never removes images without a name'),
  ],
  examples: [
    { command: 'imgtool rmi alpine:3.19 alpine:3.18', does: 'remove two images' },
    { command: 'imgtool rmi --filter dangling=true', does: 'remove the images without a name' },
  ],
  async run(context) {
    const { options, signal, imgtool } = context;
    const force = options.flag('force');
    const args = await argumentsOrAll(context, 'IMAGE', async (filters) => {
      const images = await imgtool.images(undefined, { filters });
      return [...new Set(images.map(({ id }) => id))];
    });
    return forEachArgument(
      { ...context, args },
      (image) => ignoring(options.flag('ignore'), () => imgtool.rmi(image, { force, signal })),
      (results) => removedResult(results.filter((result) => result !== undefined)),
    );
  },
};

function removedResult(results: readonly RemovedImage[]): CommandResult {
  return {
    json: results,
    text: results.flatMap(({ id, untagged, removed, layers }) => [
      ...untagged.map((name) => `untagged ${name}`),
      ...(removed ? [`removed ${id} and ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}`] : []),
    ]),
  };
}
