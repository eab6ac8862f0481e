import type { CommandResult, CommandSpec } from '../command.js';
import { jsonText } from '../json-text.js';
import { PLATFORM } from './common-options.js';

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
      completes: ['image', 'container'],
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
  async run({ args, imgtool, options, signal }) {
    const type = options.text('type') as 'image' | 'container' | undefined;
    const found = await imgtool.inspect(args[0]!, { type, platform: options.text('platform'), signal });
    if (found.type === 'container') return documentResult(found.container);
    if (options.flag('raw')) return { bytes: options.flag('config') ? found.config : found.raw };
    return documentResult(options.flag('config') ? JSON.parse(found.config.toString('utf8')) : found.image);
  },
};

function documentResult(document: unknown): CommandResult {
  return { json: document, text: jsonText(document, 2).split('\n') };
}
