import { basename } from 'node:path';
import { UsageError } from '../../errors.js';
import type { ChangedImage, ImageChangeRequest } from '../../operations/index.js';
import { parseReference } from '../../spec/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import type { OptionSpec } from '../option.js';
import { CHANGE, BUILD_RESERVE, sourceDateEpoch } from './common-options.js';
import { openFile } from './export.js';

const IMAGE = { name: 'IMAGE', summary: 'name, ID or unique ID prefix', completes: 'image' } as const;

const OPTIONS: readonly OptionSpec[] = [
  { name: 'tag', short: 't', value: 'REF', summary: 'name of the new image; default: none, only an ID' },
  { name: 'message', short: 'm', value: 'TEXT', summary: 'comment for the history' },
  { name: 'author', short: 'a', value: 'NAME', summary: 'author of the image' },
  CHANGE,
  BUILD_RESERVE,
];

export const config: CommandSpec = {
  path: ['config'],
  group: 'Images',
  summary: 'create an image with a modified config',
  description:
    'The layers are unchanged, and so is the original image. Prints the ID of the new image. ' +
    '"imgtool config show" prints the settings of imgtool instead.',
  arguments: [IMAGE],
  options: OPTIONS,
  examples: [
    { command: `imgtool config app:1 --change 'ENV DEBUG=1' -t app:debug`, does: 'set an environment variable' },
  ],
  async run(context) {
    const { options } = context;
    if (options.list('change').length === 0 && options.text('author') === undefined) {
      throw new UsageError('nothing is to be changed', { hint: `say what: --change 'CMD ["serve"]'` });
    }
    const { configImage } = await import('../../operations/index.js');
    return made(await configImage(await context.compose.local(), await requestOf(context)));
  },
};

export const append: CommandSpec = {
  path: ['append'],
  group: 'Images',
  summary: 'create an image by adding tars as layers',
  description:
    'Each tar becomes one layer, in the order given; whiteouts apply. A tar may be plain or compressed: gzip and zstd are ' +
    'kept byte for byte, xz and bzip2 become gzip. Prints the image ID.',
  arguments: [IMAGE, { name: 'TAR', summary: 'files, or - for standard input', variadic: true, completes: 'file' }],
  options: OPTIONS,
  examples: [
    { command: 'imgtool append debian:13 site.tar.gz -t localhost:5000/site:1', does: 'add files to an image' },
  ],
  async run(context) {
    const { args, compose, input } = context;
    const files = args.slice(1);
    if (files.filter((file) => file === '-').length > 1) {
      throw new UsageError('standard input can be read once only', { hint: 'give - once' });
    }
    // What cannot be read is said before anything is done.
    for (const file of files) if (file !== '-') await requireFile(file);
    const tars = files.map((file) => ({
      name: file === '-' ? 'standard input' : basename(file),
      open: () => (file === '-' ? Promise.resolve(input()) : openFile(file)),
    }));
    const { appendToImage } = await import('../../operations/index.js');
    return made(await appendToImage(await compose.local(), { ...(await requestOf(context)), tars }));
  },
};

export const flatten: CommandSpec = {
  path: ['flatten'],
  group: 'Images',
  summary: 'create an image with all layers merged into one',
  description: 'Files that an upper layer deleted are gone. Prints the image ID.',
  arguments: [IMAGE],
  options: OPTIONS,
  examples: [{ command: 'imgtool flatten app:1 -t app:flat', does: 'merge all layers' }],
  async run(context) {
    const { flattenImage } = await import('../../operations/index.js');
    return made(await flattenImage(await context.compose.local(), await requestOf(context)));
  },
};

export const rebase: CommandSpec = {
  path: ['rebase'],
  group: 'Images',
  summary: 'move the upper layers of an image onto another base image',
  description:
    'The layers above those of the old base are put on the new one. Whether they fit is not ' +
    'checked. Prints the image ID.',
  arguments: [IMAGE],
  options: [
    { name: 'onto', value: 'REF', summary: 'new base image, in the store' },
    {
      name: 'from',
      value: 'REF',
      summary: 'old base image, in the store; default: the image that shares most layers with it',
    },
    ...OPTIONS,
  ],
  examples: [{ command: 'imgtool rebase app:1 --onto debian:13.2 -t app:2', does: 'use an updated base image' }],
  async run(context) {
    const { options } = context;
    const onto = options.text('onto');
    if (onto === undefined) throw new UsageError('it is not said what to stand on', { hint: 'give --onto REF' });
    const { rebaseImage } = await import('../../operations/index.js');
    const request = { ...(await requestOf(context)), onto, from: options.text('from') };
    return made(await rebaseImage(await context.compose.local(), request));
  },
};

async function requestOf({ args, options, signal, compose }: CommandContext): Promise<ImageChangeRequest> {
  const name = options.text('tag');
  return {
    image: args[0]!,
    reference: name === undefined ? undefined : parseReference(name),
    message: options.text('message'),
    author: options.text('author'),
    changes: options.list('change'),
    sourceDateEpoch: sourceDateEpoch(),
    reserveBytes: options.number('reserve'),
    bootId: await compose.bootId(),
    signal,
  };
}

async function requireFile(path: string): Promise<void> {
  (await openFile(path)).destroy();
}

function made(image: ChangedImage): CommandResult {
  return { json: image, text: [image.id] };
}
