import type { CommandSpec } from '../command.js';
import { CHANGE } from './common-options.js';

export const exportCommand: CommandSpec = {
  path: ['export'],
  group: 'Containers',
  summary: 'write all files of a container as a tar',
  description: 'The tar shows the container as it is at one moment; it may be changed meanwhile.',
  arguments: [{ name: 'CONTAINER', summary: 'name, ID or unique prefix of one', completes: 'container' }],
  options: [{ name: 'output', short: 'o', value: 'FILE', summary: 'file to write; standard output when not given' }],
  examples: [
    { command: 'imgtool export box -o box.tar', does: 'into a file' },
    { command: 'imgtool export box | tar -tv', does: 'list what is in it' },
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

export const importCommand: CommandSpec = {
  path: ['import'],
  group: 'Containers',
  summary: 'make an image of a tar of a root file system',
  description:
    'One layer, for the platform of this machine; the tar may be compressed with gzip, zstd, xz or bzip2. Prints the image ID.',
  arguments: [
    { name: 'TAR', summary: 'file, or - for standard input', completes: 'file' },
    { name: 'REF', summary: 'name of the new image', optional: true },
  ],
  options: [{ name: 'message', short: 'm', value: 'TEXT', summary: 'comment for the history' }, CHANGE],
  examples: [
    { command: `imgtool import root.tar.gz app:1 --change 'CMD ["/bin/sh"]'`, does: 'an image of a file' },
    { command: 'imgtool export box | imgtool import - flat:1', does: 'a container as an image of one layer' },
  ],
  async run({ args, options, signal, imgtool, input }) {
    const fromInput = args[0] === '-';
    const result = await imgtool.import(fromInput ? input() : args[0]!, args[1], {
      sourceName: fromInput ? 'standard input' : undefined,
      message: options.text('message'),
      changes: options.list('change'),
      signal,
    });
    return { json: result, text: [result.id] };
  },
};
