import { basename } from 'node:path';
import { UsageError } from '../../errors.js';
import type { ChangedImage, ImageChangeRequest } from '../../operations/index.js';
import { parseReference } from '../../spec/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import type { OptionSpec } from '../option.js';
import { CHANGE, BUILD_RESERVE, sourceDateEpoch } from './common-options.js';
import { openFile } from './export.js';

const IMAGE = { name: 'IMAGE', summary: 'name, ID or unique prefix of one', completes: 'image' } as const;

const OPTIONS: readonly OptionSpec[] = [
  { name: 'tag', short: 't', value: 'REF', summary: 'name of the new image; it has an ID only when not given' },
  { name: 'message', short: 'm', value: 'TEXT', summary: 'comment for the history' },
  { name: 'author', short: 'a', value: 'NAME', summary: 'author of the image' },
  CHANGE,
  BUILD_RESERVE,
];

export const config: CommandSpec = {
  path: ['config'],
  group: 'Images',
  summary: 'make an image with another config',
  description:
    'The layers stay. Prints the image ID; the image that is there stays as it is. With the one word "show" it is ' +
    '"imgtool config show", which tells the settings of the program.',
  arguments: [IMAGE],
  options: OPTIONS,
  examples: [{ command: `imgtool config app:1 --change 'ENV DEBUG=1' -t app:debug`, does: 'another environment' }],
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
  summary: 'make an image with tars as further layers',
  description:
    'One layer for each, in that order; whiteouts in them count. A tar may be compressed with gzip or zstd, and becomes the ' +
    'blob of its layer as it is. Prints the image ID.',
  arguments: [IMAGE, { name: 'TAR', summary: 'files, or - for standard input', variadic: true, completes: 'file' }],
  options: OPTIONS,
  examples: [
    { command: 'imgtool append debian:13 site.tar.gz -t localhost:5000/site:1', does: 'files on top of an image' },
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
  summary: 'make an image of one layer',
  description: 'It holds all files; what lower layers had and upper ones deleted is gone. Prints the image ID.',
  arguments: [IMAGE],
  options: OPTIONS,
  examples: [{ command: 'imgtool flatten app:1 -t app:flat', does: 'all layers as one' }],
  async run(context) {
    const { flattenImage } = await import('../../operations/index.js');
    return made(await flattenImage(await context.compose.local(), await requestOf(context)));
  },
};

export const rebase: CommandSpec = {
  path: ['rebase'],
  group: 'Images',
  summary: 'put the upper layers of an image on another one',
  description:
    'Its own layers are those above the layers it shares with the image it was made from. Whether they fit the new ones is ' +
    'not checked. Prints the image ID.',
  arguments: [IMAGE],
  options: [
    { name: 'onto', value: 'REF', summary: 'image of the store to stand on' },
    {
      name: 'from',
      value: 'REF',
      summary: 'image of the store that it stands on; the one it shares most layers with when not given',
    },
    ...OPTIONS,
  ],
  examples: [
    { command: 'imgtool rebase app:1 --onto debian:13.2 -t app:2', does: 'after an update of the base image' },
  ],
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
