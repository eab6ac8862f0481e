import type { CommandSpec } from '../command.js';
import { BUILD_RESERVE, CHANGE } from './common-options.js';

export const commit: CommandSpec = {
  path: ['commit'],
  group: 'Containers',
  summary: 'create an image from a container',
  description:
    'Packs the changes into one new layer and prints the image ID. The container is unchanged. ' +
    'With SOURCE_DATE_EPOCH set, the same changes give the same image everywhere.',
  arguments: [
    { name: 'CONTAINER', summary: 'name, ID or unique ID prefix', completes: 'container' },
    { name: 'REF', summary: 'name of the new image', optional: true },
  ],
  options: [
    { name: 'message', short: 'm', value: 'TEXT', summary: 'comment for the history' },
    { name: 'author', short: 'a', value: 'NAME', summary: 'author of the image' },
    CHANGE,
    { name: 'squash', default: false, summary: 'pack all files into a single layer' },
    { name: 'empty-ok', default: false, summary: 'create an image even if nothing changed' },
    BUILD_RESERVE,
  ],
  examples: [
    { command: 'imgtool commit box localhost:5000/app:2 -m "new page"', does: 'commit the changes as one layer' },
    { command: `imgtool commit box app:2 --change 'CMD ["serve"]'`, does: 'set the command of the image as well' },
  ],
  async run({ args, options, signal, imgtool }) {
    const result = await imgtool.commit(args[0]!, args[1], {
      message: options.text('message'),
      author: options.text('author'),
      changes: options.list('change'),
      squash: options.flag('squash'),
      emptyOk: options.flag('empty-ok'),
      reserve: options.number('reserve'),
      signal,
    });
    const { id, name, digest } = result;
    return { json: result, text: [id], made: [{ image: name ?? id, digest, did: 'committed' }] };
  },
};
