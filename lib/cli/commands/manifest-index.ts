import { UsageError } from '../../errors.js';
import type { IndexOptions } from '../../imgtool/index.js';
import type { MadeIndex } from '../../operations/index.js';
import type { CommandContext, CommandResult, CommandTable } from '../command.js';
import type { OptionSpec } from '../options/option.js';

const INDEX_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'platform',
    value: 'OS/ARCH[/VARIANT]',
    summary: 'platform of IMAGE (only one may be given); default: the platform in its config',
  },
  { name: 'annotation', value: 'KEY=VALUE', repeat: true, summary: 'annotation of the index' },
  {
    name: 'format',
    value: 'FORMAT',
    choices: ['oci', 'v2s2'],
    summary: "format of the index: OCI or Docker's manifest list; default: that of its images",
  },
];
const IMAGES = { name: 'IMAGE', summary: 'image or index at a registry', variadic: true };

export const manifestCreate: CommandTable = {
  group: 'Registries',
  summary: 'create an index (multi-platform image) from images at registries',
  description:
    'Publishes it as REF and prints its digest. Images in other repositories are copied to that of REF first. From an index, all ' +
    'entries are taken; a later entry replaces an earlier one for the same platform.',
  arguments: [{ name: 'REF', summary: 'HOST/REPOSITORY:TAG to publish' }, IMAGES],
  options: INDEX_OPTIONS,
  examples: [
    {
      command: 'imgtool manifest create localhost:5000/app:1 localhost:5000/app:1-amd64 localhost:5000/app:1-arm64',
      does: 'combine the images that two CI jobs pushed',
    },
  ],
  async run(context) {
    const [name, ...images] = context.args as [string, ...string[]];
    return published(await context.imgtool.manifestCreate(name, images, indexOptions(context)));
  },
};

export const manifestAdd: CommandTable = {
  group: 'Registries',
  summary: 'add images to an index at a registry, replacing those of the same platform',
  arguments: [{ name: 'REF', summary: 'HOST/REPOSITORY:TAG of the index' }, IMAGES],
  options: INDEX_OPTIONS,
  examples: [
    { command: 'imgtool manifest add localhost:5000/app:1 localhost:5000/app:1-riscv64', does: 'add a platform' },
  ],
  async run(context) {
    const [name, ...images] = context.args as [string, ...string[]];
    return published(await context.imgtool.manifestAdd(name, images, indexOptions(context)));
  },
};

function indexOptions({ options, signal }: CommandContext): IndexOptions {
  return {
    platform: options.text('platform'),
    annotations: annotationsOf(options.list('annotation')),
    format: options.text('format') as IndexOptions['format'],
    signal,
  };
}

function published(made: MadeIndex): CommandResult {
  return { json: made, text: [made.digest] };
}

function annotationsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals < 1) throw new UsageError(`--annotation ${JSON.stringify(text)} is not KEY=VALUE`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
