import { parseReference } from '../../spec/index.js';
import { jsonText } from '../json-text.js';
import type { CommandSpec } from '../command.js';
import { PLATFORM, platformOf } from './common-options.js';

export const inspect: CommandSpec = {
  path: ['inspect'],
  group: 'Images',
  summary: 'show what there is to know of an image, local or at a registry',
  description:
    'Prints JSON. docker://REF asks the registry and pulls nothing, docker-v1://REF by protocol v1: what is there has IDs and no digests.',
  arguments: [
    { name: 'IMAGE', summary: 'name, ID or unique prefix of one; docker://REF for a registry', completes: 'image' },
  ],
  options: [
    { name: 'raw', default: false, summary: 'the manifest (or index) byte for byte; with --config the config' },
    { name: 'config', default: false, summary: 'the config alone' },
    PLATFORM,
  ],
  examples: [
    { command: 'imgtool inspect alpine', does: 'a local image' },
    { command: 'imgtool inspect docker://alpine --config', does: 'the config of an image that is not here' },
    { command: 'imgtool inspect docker://alpine --raw | sha256sum', does: 'the index as the registry sends it' },
  ],
  async run({ args, options, signal, compose }) {
    const { inspectImage, inspectRemoteImage } = await import('../../operations/index.js');
    const image = args[0]!;
    const reference = /^docker(-v1)?:\/\//.test(image) ? parseReference(image) : undefined;
    const found =
      reference === undefined
        ? await inspectImage(await compose.local(), image)
        : await inspectRemoteImage(await compose.remote(reference), reference, { ...platformOf(options), signal });
    if (options.flag('raw')) return { bytes: options.flag('config') ? found.config : found.raw };
    const document: unknown = options.flag('config') ? JSON.parse(found.config.toString('utf8')) : found.image;
    return { json: document, text: jsonText(document, 2).split('\n') };
  },
};
