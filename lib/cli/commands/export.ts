import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { UsageError } from '../../errors.js';
import { parseReference } from '../../spec/index.js';
import { createOutputFile, fileError } from '../../util/index.js';
import type { CommandSpec } from '../command.js';
import { CHANGE, BUILD_RESERVE, sourceDateEpoch } from './common-options.js';

export const exportCommand: CommandSpec = {
  path: ['export'],
  group: 'Containers',
  summary: 'write all files of a container to a tar',
  description: 'The tar is a consistent snapshot, even if the container changes meanwhile.',
  arguments: [{ name: 'CONTAINER', summary: 'name, ID or unique ID prefix', completes: 'container' }],
  options: [{ name: 'output', short: 'o', value: 'FILE', summary: 'file to write; default: standard output' }],
  examples: [
    { command: 'imgtool export box -o box.tar', does: 'write a file' },
    { command: 'imgtool export box | tar -tv', does: 'list the files' },
  ],
  async run({ args, options, signal, compose, output }) {
    const path = options.text('output');
    const toStdout = path === undefined || path === '-';
    const { exportContainer } = await import('../../operations/index.js');
    const deps = await compose.local();
    if (toStdout) {
      await exportContainer(deps, { container: args[0]!, output: output(), signal });
      return undefined;
    }
    const file = await createOutputFile(path);
    try {
      const result = await exportContainer(deps, { container: args[0]!, output: file.stream, signal });
      await file.keep();
      return { json: { ...result, path }, text: [] };
    } finally {
      await file.discard();
    }
  },
};

export const importCommand: CommandSpec = {
  path: ['import'],
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
  async run({ args, options, signal, compose, input }) {
    const reference = args[1] === undefined ? undefined : parseReference(args[1]);
    const source = args[0] === '-' ? input() : await openFile(args[0]!);
    try {
      const { importImage } = await import('../../operations/index.js');
      const result = await importImage(await compose.unpacking(), {
        source,
        sourceName: args[0] === '-' ? 'standard input' : args[0]!,
        reference,
        message: options.text('message'),
        changes: options.list('change'),
        sourceDateEpoch: sourceDateEpoch(),
        reserveBytes: options.number('reserve'),
        bootId: await compose.bootId(),
        signal,
      });
      return { json: result, text: [result.id] };
    } finally {
      source.destroy();
    }
  },
};

/** Opens a file to read. Throws UsageError when it cannot be read. */
export async function openFile(path: string): Promise<Readable> {
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isDirectory()) {
      await file.close();
      throw new UsageError(`${path} is a directory`, { hint: 'give a tar' });
    }
    return file.createReadStream();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw fileError(path, 'read', error);
  }
}
