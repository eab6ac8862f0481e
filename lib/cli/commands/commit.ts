import type { CommandTable } from '../command.js';
import { CHANGE } from '../options/common.js';
import { withoutEffect } from '../options/peers.js';
import { BUILD_RESERVE } from '../options/reserve.js';
import { writeResultFile } from './result-file.js';

export const commit: CommandTable = {
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
    {
      name: 'format',
      short: 'f',
      value: 'FORMAT',
      choices: ['oci', 'docker', 'v2s2'],
      summary: 'manifest format: OCI, or Docker schema 2 (docker, v2s2); default: that of the image',
    },
    { name: 'iidfile', value: 'FILE', summary: 'write the image ID to a file' },
    { name: 'squash', short: 's', default: false, summary: 'pack all files into a single layer' },
    { name: 'empty-ok', default: false, summary: 'create an image even if nothing changed' },
    withoutEffect('pause', 'a commit takes a consistent snapshot of the container', { short: 'p' }),
    BUILD_RESERVE,
  ],
  examples: [
    { command: 'imgtool commit box localhost:5000/app:2 -m "new page"', does: 'commit the changes as one layer' },
    { command: 'imgtool commit box app:2 --iidfile id.txt --format docker', does: 'write the ID to a file' },
    { command: `imgtool commit box app:2 --change 'CMD ["serve"]'`, does: 'set the command of the image as well' },
  ],
  async run({ args, options, signal, imgtool }) {
    const format = options.text('format') as 'oci' | 'docker' | 'v2s2' | undefined;
    const result = await imgtool.commit(args[0]!, args[1], {
      message: options.text('message'),
      author: options.text('author'),
      changes: options.list('change'),
      format: format === 'docker' ? 'v2s2' : format,
      squash: options.flag('squash'),
      emptyOk: options.flag('empty-ok'),
      reserve: options.number('reserve'),
      signal,
    });
    await writeResultFile(options.text('iidfile'), result.id, 'the image is made, but its ID');
    const { id, name, digest } = result;
    return { json: result, text: [id], made: [{ image: name ?? id, digest, did: 'committed' }] };
  },
};
