import { ImgtoolError, NotFoundError } from '../../errors.js';
import type { ContainerSummary, Inspection } from '../../operations/index.js';
import { parseReference } from '../../spec/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { jsonText } from '../json-text.js';
import { PLATFORM, platformOf } from './common-options.js';

export const inspect: CommandSpec = {
  path: ['inspect'],
  group: 'Images',
  summary: 'show details of an image (local or at a registry) or a container',
  description:
    'Prints JSON. If an image and a container have the same name, the image is shown. docker://REF reads from the registry and pulls nothing; ' +
    'docker-v1://REF uses registry protocol v1, where images have IDs but no digests.',
  arguments: [
    {
      name: 'NAME',
      summary: 'name, ID or unique ID prefix; docker://REF for an image at a registry',
      completes: 'image',
    },
  ],
  options: [
    { name: 'type', value: 'TYPE', choices: ['image', 'container'], summary: 'look up images only, or containers' },
    { name: 'raw', default: false, summary: 'print the manifest (or index) byte for byte; with --config the config' },
    { name: 'config', default: false, summary: 'print the config only' },
    PLATFORM,
  ],
  examples: [
    { command: 'imgtool inspect alpine', does: 'a local image' },
    { command: 'imgtool inspect box', does: 'a container' },
    { command: 'imgtool inspect docker://alpine --config', does: 'the config of an image at a registry' },
    { command: 'imgtool inspect docker://alpine --raw | sha256sum', does: 'the index, byte for byte' },
  ],
  async run(context) {
    const { options } = context;
    const type = options.text('type');
    if (type !== 'image') {
      const container = await containerNamed(context, { orImage: type === undefined });
      if (container !== undefined) return documentResult(container);
    }
    const found = await inspectNamed(context);
    if (options.flag('raw')) return { bytes: options.flag('config') ? found.config : found.raw };
    return documentResult(options.flag('config') ? JSON.parse(found.config.toString('utf8')) : found.image);
  },
};

/** Inspects the image that the first argument names: a local one, or with `docker://` one at its registry. */
export async function inspectNamed({ args, options, signal, compose }: CommandContext): Promise<Inspection> {
  const { inspectImage, inspectRemoteImage } = await import('../../operations/index.js');
  const image = args[0]!;
  if (!isRemote(image)) return inspectImage(await compose.local(), image);
  const reference = parseReference(image);
  return inspectRemoteImage(await compose.remote(reference), reference, { ...platformOf(options), signal });
}

/** The container that the first argument names. `orImage`: an image of that name goes before it. */
async function containerNamed(
  { args, compose }: CommandContext,
  { orImage }: { readonly orImage: boolean },
): Promise<ContainerSummary | undefined> {
  const name = args[0]!;
  if (orImage && isRemote(name)) return undefined;
  const { findContainer, findImage, listContainers } = await import('../../operations/index.js');
  const deps = await compose.local();
  try {
    if (orImage) {
      await findImage(deps, name);
      return undefined;
    }
  } catch (error) {
    if (!(error instanceof ImgtoolError)) throw error;
  }
  try {
    const { id } = await findContainer(deps, name);
    return (await listContainers(deps)).find((container) => container.id === id);
  } catch (error) {
    if (orImage && error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** Whether an image argument names an image at a registry, not in the store. */
export function isRemote(image: string): boolean {
  return /^docker(-v1)?:\/\//.test(image);
}

function documentResult(document: unknown): CommandResult {
  return { json: document, text: jsonText(document, 2).split('\n') };
}
