import { UsageError } from '../../errors.js';
import { parsePlatform, parseReference } from '../../spec/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { namedLogin, SEVERAL_LOGINS } from '../creds.js';
import type { OptionSpec } from '../option.js';

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

export const manifestCreate: CommandSpec = {
  path: ['manifest', 'create'],
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
  run: (context) => publishIndex(context, { keepExisting: false }),
};

export const manifestAdd: CommandSpec = {
  path: ['manifest', 'add'],
  group: 'Registries',
  summary: 'add images to an index at a registry, replacing those of the same platform',
  arguments: [{ name: 'REF', summary: 'HOST/REPOSITORY:TAG of the index' }, IMAGES],
  options: INDEX_OPTIONS,
  examples: [
    { command: 'imgtool manifest add localhost:5000/app:1 localhost:5000/app:1-riscv64', does: 'add a platform' },
  ],
  run: (context) => publishIndex(context, { keepExisting: true }),
};

async function publishIndex(
  { args, options, signal, compose, progress }: CommandContext,
  { keepExisting }: { readonly keepExisting: boolean },
): Promise<CommandResult> {
  const [name, ...images] = args as [string, ...string[]];
  const target = parseReference(name);
  const sources = [];
  for (const image of images) sources.push(parseReference(await compose.fullName(image)));
  const platform = options.text('platform');
  if (platform !== undefined && sources.length !== 1)
    throw new UsageError('--platform is that of one IMAGE', { hint: 'add the others with: imgtool manifest add' });
  const login = namedLogin(
    options,
    [target, ...sources].map(({ host }) => host),
    SEVERAL_LOGINS,
  );
  const { makeIndex } = await import('../../operations/index.js');
  const deps = { ...(await compose.remote(login)), progress, parallel: options.number('parallel')! };
  const made = await makeIndex(deps, {
    ...{ target, sources, keepExisting, signal, annotations: annotationsOf(options.list('annotation')) },
    platform: platform === undefined ? undefined : parsePlatform(platform),
    format: options.text('format') as 'oci' | 'v2s2' | undefined,
  });
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
