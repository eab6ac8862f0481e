import { UsageError } from '../../errors.js';
import { ARCHIVE_FORMATS, type SaveOptions } from '../../imgtool/index.js';
import type { CommandTable } from '../command.js';
import { withoutEffect } from '../options/peers.js';
import { PLATFORM } from '../options/platform.js';
import { RESERVE } from '../options/reserve.js';

export const save: CommandTable = {
  group: 'Images',
  summary: 'write images to an archive',
  description:
    'Layers and manifests are kept byte for byte; oci-archive and oci-dir always get OCI manifests, which their readers expect. ' +
    'The same images give the same archive. A docker-archive is also an OCI ' +
    'layout and readable by docker, podman and skopeo. A docker-dir is what skopeo calls dir:, for one image. A v1 archive is for docker before 1.10. An image given by ID has no name in the archive.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique ID prefix', variadic: true, completes: 'image' }],
  options: [
    {
      name: 'output',
      short: 'o',
      value: 'FILE',
      summary: 'file (oci-dir, docker-dir: directory) to write; default: standard output',
    },
    {
      name: 'format',
      value: 'FORMAT',
      choices: ARCHIVE_FORMATS,
      default: 'docker-archive',
      summary: 'format of the archive',
    },
    withoutEffect('multi-image-archive', 'an archive may hold several images', { short: 'm' }),
  ],
  examples: [
    { command: 'imgtool save app:1 app:2 -o apps.tar', does: 'save two images to one archive' },
    { command: 'imgtool save app:1 --format oci-dir -o layout', does: 'add an image to an OCI layout' },
    { command: 'imgtool save app:1 | ssh host docker load', does: 'send an image to another machine' },
  ],
  async run({ args, imgtool, options, output, signal }) {
    const format = options.text('format') as SaveOptions['format'];
    const path = options.text('output');
    if (path !== undefined && path !== '-') {
      return { json: { images: await imgtool.save(args, path, { format, signal }), path }, text: [] };
    }
    if (format === 'oci-dir' || format === 'docker-dir')
      throw new UsageError('a directory cannot be written to standard output', { hint: 'name it with -o' });
    await imgtool.save(args, output(), { format, signal });
    return undefined;
  },
};

export const load: CommandTable = {
  group: 'Images',
  summary: 'load images from an archive into the store',
  description:
    'The format is detected from the content: docker-archive, OCI layout (directory or tar), directory of skopeo (dir:) or v1 archive, plain or compressed with gzip ' +
    'or zstd. Prints the names of the images, or the ID if an image has no name. A name that another image has is refused ' +
    'unless --replace is given.',
  arguments: [
    {
      name: 'FILE',
      summary: 'file or directory to read; default: standard input',
      optional: true,
      completes: 'file',
    },
  ],
  options: [
    { name: 'input', short: 'i', value: 'FILE', summary: 'the same as FILE' },
    { name: 'replace', default: false, summary: 'move names that other images have' },
    PLATFORM,
    RESERVE,
  ],
  examples: [
    { command: 'imgtool load apps.tar', does: 'load from a file; also: imgtool load -i apps.tar' },
    { command: 'docker save app:1 | imgtool load', does: 'load from another engine' },
  ],
  async run({ args, options, imgtool, input, signal }) {
    const path = inputOf(args[0], options.text('input'));
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

function inputOf(argument: string | undefined, option: string | undefined): string | undefined {
  if (argument === undefined || option === undefined || argument === option) return argument ?? option;
  throw new UsageError('FILE and --input name two files', { hint: 'give one of them' });
}
