import type { CommandTable } from '../command.js';
import { CHANGE } from '../options/common.js';
import { BUILD_RESERVE } from '../options/reserve.js';

export const exportCommand: CommandTable = {
  group: 'Containers',
  summary: 'write all files of a container to a tar',
  description: 'The tar is a consistent snapshot, even if the container changes meanwhile.',
  arguments: [{ name: 'CONTAINER', summary: 'name, ID or unique ID prefix', completes: 'container' }],
  options: [{ name: 'output', short: 'o', value: 'FILE', summary: 'file to write; default: standard output' }],
  examples: [
    { command: 'imgtool export box -o box.tar', does: 'write a file' },
    { command: 'imgtool export box | tar -tv', does: 'list the files' },
  ],
  async run({ args, options, signal, imgtool, output }) {
    const path = options.text('output');
    if (path === undefined || path === '-') {
      await imgtool.export(args[0]!, output(), { signal });
      return undefined;
    }
    const result = await imgtool.export(args[0]!, path, { signal });
    return { json: { ...result, path }, text: [] };
  },
};

export const importCommand: CommandTable = {
  group: 'Containers',
  summary: 'create an image from a tar of a root file system',
  description:
    'The image has one layer and the platform of this machine. The tar may be compressed with gzip, zstd, xz or bzip2. Prints the image ID.',
  arguments: [
    { name: 'TAR', summary: 'file, or - for standard input', completes: 'file' },
    { name: 'REF', summary: 'name of the new image', optional: true },
  ],
  options: [{ name: 'message', short: 'm', value: 'TEXT', summary: 'comment for the history' }, CHANGE, BUILD_RESERVE],
  examples: [
    { command: `imgtool import root.tar.gz app:1 --change 'CMD ["/bin/sh"]'`, does: 'import a file' },
    { command: 'imgtool export box | imgtool import - flat:1', does: 'turn a container into an image with one layer' },
  ],
  async run({ args, options, signal, imgtool, input }) {
    const fromInput = args[0] === '-';
    const result = await imgtool.import(fromInput ? input() : args[0]!, args[1], {
      sourceName: fromInput ? 'standard input' : undefined,
      message: options.text('message'),
      changes: options.list('change'),
      reserve: options.number('reserve'),
      signal,
    });
    return { json: result, text: [result.id] };
  },
};
