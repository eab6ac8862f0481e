import { UsageError } from '../../errors.js';
import type { ChangeOptions } from '../../imgtool/index.js';
import type { ChangedImage } from '../../operations/index.js';
import type { CommandContext, CommandResult, CommandTable } from '../command.js';
import type { OptionSpec } from '../options/option.js';
import { CHANGE } from '../options/common.js';
import { BUILD_RESERVE } from '../options/reserve.js';

const IMAGE = {
  name: 'IMAGE',
  summary: 'name, ID or unique ID prefix; or docker://REF, oci:PATH, oci-archive:PATH: no store is used then',
  completes: 'image',
} as const;

const OPTIONS: readonly OptionSpec[] = [
  {
    name: 'tag',
    short: 't',
    value: 'REF',
    summary:
      'name of the new image; default: none, only an ID; docker://REF or oci:PATH for an IMAGE outside the store',
  },
  { name: 'message', short: 'm', value: 'TEXT', summary: 'comment for the history' },
  { name: 'author', short: 'a', value: 'NAME', summary: 'author of the image' },
  CHANGE,
  {
    name: 'platform',
    value: 'OS/ARCH[/VARIANT]',
    summary: 'image to take from an index outside the store; default: that of this machine',
  },
  BUILD_RESERVE,
];

/** Shorthand options for `--change`, with their instructions. */
const EDITS: readonly (OptionSpec & { readonly instruction: string; readonly removes?: boolean })[] = [
  {
    name: 'env',
    short: 'e',
    value: 'K=V',
    repeat: true,
    instruction: 'ENV',
    summary: 'set an environment variable; K- removes it',
  },
  {
    name: 'unset-env',
    aliases: ['unsetenv'],
    value: 'K',
    repeat: true,
    instruction: 'ENV',
    removes: true,
    summary: 'remove an environment variable',
  },
  {
    name: 'label',
    short: 'l',
    value: 'K=V',
    repeat: true,
    instruction: 'LABEL',
    summary: 'set a label; K- removes it',
  },
  {
    name: 'unset-label',
    aliases: ['unsetlabel'],
    value: 'K',
    repeat: true,
    instruction: 'LABEL',
    removes: true,
    summary: 'remove a label',
  },
  {
    name: 'entrypoint',
    value: 'CMD',
    instruction: 'ENTRYPOINT',
    summary: 'set the entry point: a JSON list, or a command for /bin/sh',
  },
  { name: 'cmd', value: 'CMD', instruction: 'CMD', summary: 'set the command: a JSON list, or a command for /bin/sh' },
  { name: 'user', short: 'u', value: 'USER', instruction: 'USER', summary: 'set the user' },
  {
    name: 'workdir',
    aliases: ['workingdir'],
    value: 'DIR',
    instruction: 'WORKDIR',
    summary: 'set the working directory',
  },
  {
    name: 'exposed-ports',
    aliases: ['port'],
    value: 'PORT',
    repeat: true,
    instruction: 'EXPOSE',
    summary: 'add an exposed port: 80, 53/udp',
  },
  { name: 'stop-signal', value: 'SIGNAL', instruction: 'STOPSIGNAL', summary: 'set the stop signal' },
];

export const mutate: CommandTable = {
  group: 'Images',
  summary: 'create an image with a modified config',
  description: 'The layers are unchanged, and so is the original image. Prints the ID of the new image.',
  arguments: [IMAGE],
  options: [...EDITS, ...OPTIONS],
  examples: [
    {
      command: 'imgtool mutate app:1 --env DEBUG=1 --label version=2 --unset-label maintainer -t app:2',
      does: 'change variables and labels',
    },
    { command: `imgtool mutate app:1 --change 'ENV DEBUG=1' -t app:debug`, does: 'set an environment variable' },
  ],
  async run(context) {
    const given = changeOptions(context);
    const changes = [...EDITS.flatMap((edit) => editsOf(context, edit)), ...(given.changes ?? [])];
    return made(await context.imgtool.mutate(context.args[0]!, { ...given, changes }));
  },
};

export const append: CommandTable = {
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
    const { args, imgtool, input } = context;
    const files = args.slice(1);
    if (files.filter((file) => file === '-').length > 1) {
      throw new UsageError('standard input can be read once only', { hint: 'give - once' });
    }
    const tars = files.map((file) => (file === '-' ? { name: 'standard input', open: input } : file));
    return made(await imgtool.append(args[0]!, tars, changeOptions(context)));
  },
};

export const flatten: CommandTable = {
  group: 'Images',
  summary: 'create an image with all layers merged into one',
  description: 'Files that an upper layer deleted are gone. Prints the image ID.',
  arguments: [IMAGE],
  options: OPTIONS,
  examples: [{ command: 'imgtool flatten app:1 -t app:flat', does: 'merge all layers' }],
  run: async (context) => made(await context.imgtool.flatten(context.args[0]!, changeOptions(context))),
};

export const rebase: CommandTable = {
  group: 'Images',
  summary: 'move the upper layers of an image onto another base image',
  description:
    'The layers above those of the old base are put on the new one. Whether they fit is not ' +
    'checked. Prints the image ID.',
  arguments: [IMAGE],
  options: [
    { name: 'onto', aliases: ['new-base'], value: 'REF', summary: 'new base image, where IMAGE is' },
    {
      name: 'from',
      aliases: ['old-base'],
      value: 'REF',
      summary: 'old base image, where IMAGE is; default: the image of the store that shares most layers with it',
    },
    ...OPTIONS,
  ],
  examples: [{ command: 'imgtool rebase app:1 --onto debian:13.2 -t app:2', does: 'use an updated base image' }],
  async run(context) {
    const { args, imgtool, options } = context;
    const onto = options.text('onto');
    if (onto === undefined) throw new UsageError('--onto is required', { hint: 'name the new base image: --onto REF' });
    const from = options.text('from');
    return made(await imgtool.rebase(args[0]!, { ...changeOptions(context), onto, from }));
  },
};

/** The instructions that one of these options represents. */
function editsOf(
  { options }: CommandContext,
  { name, repeat, instruction, removes }: (typeof EDITS)[number],
): string[] {
  const texts = repeat === true ? options.list(name) : [options.text(name)].filter((text) => text !== undefined);
  return texts.map((text) => {
    if (removes === true) return `${instruction} ${text}-`;
    if (instruction !== 'ENV' && instruction !== 'LABEL') return `${instruction} ${text}`;
    if (/^[^=]+-$/.test(text)) return `${instruction} ${text}`;
    const equals = text.indexOf('=');
    if (equals < 1)
      throw new UsageError(`--${name} ${JSON.stringify(text.slice(0, 100))} is not K=V`, {
        hint: 'write K=V, or K- to remove it',
      });
    return `${instruction} ${text.slice(0, equals)}=${quoted(text.slice(equals + 1))}`;
  });
}

/** Quotes a word of a Dockerfile instruction so that nothing is expanded. */
function quoted(text: string): string {
  return `"${text.replace(/[\\"$]/g, '\\$&')}"`;
}

function changeOptions({ options, signal }: CommandContext): ChangeOptions {
  return {
    tag: options.text('tag'),
    message: options.text('message'),
    author: options.text('author'),
    changes: options.list('change'),
    platform: options.text('platform'),
    reserve: options.number('reserve'),
    signal,
  };
}

function made(image: ChangedImage): CommandResult {
  return { json: image, text: [image.id] };
}
