import { UsageError } from '../../errors.js';
import type { InspectedAsContainer, InspectedAsImage } from '../../imgtool/index.js';
import type { CommandContext, CommandResult, CommandTable } from '../command.js';
import { jsonText } from '../json-text.js';
import { FORMAT, readFormat, type OutputFormat } from '../options/format.js';
import { inspectedContainer, inspectedImage } from '../views/inspected.js';
import { withoutEffect } from '../options/peers.js';
import { PLATFORM } from '../options/platform.js';

type Inspected = InspectedAsContainer | InspectedAsImage;

export const inspect: CommandTable = {
  group: 'Images',
  summary: 'show details of images (local or at a registry) or containers',
  description:
    'Prints JSON: an object, or a list for several NAMEs. If an image and a container have the same name, the image is shown. docker://REF reads from the registry and pulls nothing; ' +
    'docker-v1://REF uses registry protocol v1, where images have IDs but no digests.\n' +
    '--format takes the field names of docker, podman and skopeo. Images: .Id .Digest .RepoTags .RepoDigests .Created .Author ' +
    '.Comment .Architecture .Os .Platforms .Size .Config (.Env .Cmd .Entrypoint .User .WorkingDir .Labels .ExposedPorts .Volumes ' +
    '.StopSignal) .RootFS.Layers .Labels .Env .Layers .LayersData .History .ManifestType. Containers: .Id .Name .Created .Image ' +
    '.ImageName .State (.Status .Running) .Config .SizeRw .SizeRootFs .Rootfs.',
  arguments: [
    {
      name: 'NAME',
      summary: 'name, ID or unique ID prefix; docker://REF for an image at a registry',
      variadic: true,
      completes: ['image', 'container'],
    },
  ],
  options: [
    {
      name: 'type',
      short: 't',
      value: 'TYPE',
      choices: ['image', 'container'],
      summary: 'look up images only, or containers',
    },
    { ...FORMAT, short: 'f' },
    { name: 'raw', default: false, summary: 'print the manifest (or index) byte for byte; with --config the config' },
    { name: 'config', default: false, summary: 'print the config only' },
    withoutEffect('size', 'sizes are always shown', { short: 's' }),
    PLATFORM,
  ],
  examples: [
    { command: 'imgtool inspect alpine', does: 'a local image' },
    { command: 'imgtool inspect box', does: 'a container' },
    { command: "imgtool inspect -f '{{.Config.Env}} {{.RootFS.Layers}}' alpine", does: 'print chosen fields' },
    { command: "imgtool inspect docker://alpine --format '{{.Digest}}'", does: 'a digest at a registry' },
    { command: 'imgtool inspect docker://alpine --config', does: 'the config of an image at a registry' },
    { command: 'imgtool inspect docker://alpine --raw | sha256sum', does: 'the index, byte for byte' },
  ],
  async run(context) {
    const { args, imgtool, options, signal } = context;
    const format = await readFormat(options.text('format'));
    const type = options.text('type') as 'image' | 'container' | undefined;
    if (options.flag('raw') && args.length > 1)
      throw new UsageError('--raw prints the bytes of one manifest', { hint: 'give one NAME' });
    const found: Inspected[] = [];
    for (const name of args)
      found.push(await imgtool.inspect(name, { type, platform: options.text('platform'), signal }));
    const [first] = found;
    if (options.flag('raw') && first?.type === 'image')
      return { bytes: options.flag('config') ? first.config : first.raw };
    const documents = found.map((one) => documentOf(one, { configOnly: options.flag('config') }));
    const document = documents.length === 1 ? documents[0] : documents;
    if (format === undefined) return { json: document, text: jsonText(document, 2).split('\n') };
    return formatted(context, { found, format, document });
  },
};

function documentOf(found: Inspected, { configOnly }: { readonly configOnly: boolean }): unknown {
  if (found.type === 'container') return found.container;
  return configOnly ? JSON.parse(found.config.toString('utf8')) : found.image;
}

async function formatted(
  { args, imgtool, signal }: CommandContext,
  {
    found,
    format,
    document,
  }: { readonly found: readonly Inspected[]; readonly format: OutputFormat; readonly document: unknown },
): Promise<CommandResult> {
  const rows: object[] = [];
  for (const [index, one] of found.entries()) {
    if (one.type === 'container') {
      rows.push(inspectedContainer(one.container, one.config));
      continue;
    }
    // As in skopeo: the repository's tags, which take a request of their own.
    const repository = /^docker:\/\/(.*?)(?::[^/:@]*)?(?:@.*)?$/.exec(args[index]!)?.[1];
    const tags =
      repository !== undefined && format.mentions('RepoTags') ? await imgtool.tags(repository, { signal }) : undefined;
    rows.push(inspectedImage(one.image, { tags }));
  }
  return format.result(rows, { json: document });
}
