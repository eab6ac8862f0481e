import { UsageError } from '../../errors.js';
import { ARCHIVE_FORMATS, type SaveOptions } from '../../imgtool/index.js';
import type { CommandSpec } from '../command.js';
import { PLATFORM, RESERVE } from './common-options.js';

export const save: CommandSpec = {
  path: ['save'],
  group: 'Images',
  summary: 'write images to an archive',
  description:
    'Layers are kept byte for byte, and so are manifests; oci-archive and oci-dir get OCI manifests, as their readers expect. ' +
    'The same images give the same archive. A docker-archive is an OCI ' +
    'layout as well: docker, podman and skopeo read it. A v1 archive is for what is older than docker 1.10. An image given by ID has no name in the archive.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique prefix of one', variadic: true, completes: 'image' }],
  options: [
    {
      name: 'output',
      short: 'o',
      value: 'FILE',
      summary: 'file (oci-dir: directory) to write; standard output when not given',
    },
    { name: 'format', value: 'FORMAT', choices: ARCHIVE_FORMATS, default: 'docker-archive', summary: 'what to write' },
  ],
  examples: [
    { command: 'imgtool save app:1 app:2 -o apps.tar', does: 'two images into one archive' },
    { command: 'imgtool save app:1 --format oci-dir -o layout', does: 'into an OCI layout, beside what is there' },
    { command: 'imgtool save app:1 | ssh host docker load', does: 'to another machine' },
  ],
  async run({ args, imgtool, options, output, signal }) {
    const format = options.text('format') as SaveOptions['format'];
    const path = options.text('output');
    if (path !== undefined && path !== '-') {
      return { json: { images: await imgtool.save(args, path, { format, signal }), path }, text: [] };
    }
    if (format === 'oci-dir')
      throw new UsageError('a directory cannot be written to standard output', { hint: 'name it with -o' });
    await imgtool.save(args, output(), { format, signal });
    return undefined;
  },
};

export const load: CommandSpec = {
  path: ['load'],
  group: 'Images',
  summary: 'bring the images of an archive into the store',
  description:
    'What the archive is, its content tells: a docker-archive, an OCI layout (directory or tar), a v1 archive, also compressed with gzip ' +
    'or zstd. Prints the names of the images, or the ID of one without a name. A name that another image has is not taken ' +
    'from it unless --replace is given.',
  arguments: [],
  options: [
    { name: 'input', short: 'i', value: 'FILE', summary: 'file or directory to read; standard input when not given' },
    { name: 'replace', default: false, summary: 'take names from the images that have them' },
    PLATFORM,
    RESERVE,
  ],
  examples: [
    { command: 'imgtool load -i apps.tar', does: 'from a file' },
    { command: 'docker save app:1 | imgtool load', does: 'from another engine' },
  ],
  async run({ options, imgtool, input, signal }) {
    const path = options.text('input');
    const fromInput = path === undefined || path === '-';
    const images = await imgtool.load(fromInput ? input() : path, {
      sourceName: fromInput ? 'standard input' : undefined,
      replace: options.flag('replace'),
      platform: options.text('platform'),
      reserve: options.number('reserve'),
      signal,
    });
    return {
      json: { images },
      text: images.flatMap(({ id, names }) => (names.length === 0 ? [id] : names)),
      quiet: images.map(({ id }) => id),
    };
  },
};
