import { stat } from 'node:fs/promises';
import { UsageError } from '../../errors.js';
import type { SavedImage } from '../../operations/index.js';
import { createOutputFile, fileError } from '../../util/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { namedLogin, SEVERAL_LOGINS } from '../creds.js';
import { PLATFORM, platformOf, RESERVE, sourceDateEpoch, spoolDirectory } from './common-options.js';

const FORMATS = ['docker-archive', 'oci-archive', 'oci-dir', 'v1'] as const;

export const save: CommandSpec = {
  path: ['save'],
  group: 'Images',
  summary: 'write images to an archive',
  description:
    'Layers and manifests are kept byte for byte; oci-archive and oci-dir always get OCI manifests, which their readers expect. ' +
    'The same images give the same archive. A docker-archive is also an OCI ' +
    'layout and readable by docker, podman and skopeo. A v1 archive is for docker before 1.10. An image given by ID has no name in the archive.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique ID prefix', variadic: true, completes: 'image' }],
  options: [
    {
      name: 'output',
      short: 'o',
      value: 'FILE',
      summary: 'file (oci-dir: directory) to write; default: standard output',
    },
    { name: 'format', value: 'FORMAT', choices: FORMATS, default: 'docker-archive', summary: 'format of the archive' },
  ],
  examples: [
    { command: 'imgtool save app:1 app:2 -o apps.tar', does: 'save two images to one archive' },
    { command: 'imgtool save app:1 --format oci-dir -o layout', does: 'add an image to an OCI layout' },
    { command: 'imgtool save app:1 | ssh host docker load', does: 'send an image to another machine' },
  ],
  async run(context) {
    const format = context.options.text('format') as (typeof FORMATS)[number];
    const path = context.options.text('output');
    const toStdout = path === undefined || path === '-';
    if (format === 'oci-dir') {
      if (toStdout)
        throw new UsageError('a directory cannot be written to standard output', { hint: 'name it with -o' });
      return written(await saveTo(context, { format, directory: path, signal: context.signal }), path);
    }
    const mtime = sourceDateEpoch();
    if (toStdout) {
      await saveTo(context, { format, output: context.output(), mtime, temporaryDirectory: spoolDirectory() });
      return undefined;
    }
    const file = await createOutputFile(path);
    try {
      const saved = await saveTo(context, {
        format,
        output: file.stream,
        mtime,
        temporaryDirectory: spoolDirectory(),
      });
      await file.keep();
      return written(saved, path);
    } finally {
      await file.discard();
    }
  },
};

export const load: CommandSpec = {
  path: ['load'],
  group: 'Images',
  summary: 'load images from an archive into the store',
  description:
    'The format is detected from the content: docker-archive, OCI layout (directory or tar) or v1 archive, plain or compressed with gzip ' +
    'or zstd. Prints the names of the images, or the ID if an image has no name. A name that another image has is refused ' +
    'unless --replace is given.',
  arguments: [],
  options: [
    { name: 'input', short: 'i', value: 'FILE', summary: 'file or directory to read; default: standard input' },
    { name: 'replace', default: false, summary: 'move names that other images have' },
    PLATFORM,
    RESERVE,
  ],
  examples: [
    { command: 'imgtool load -i apps.tar', does: 'load from a file' },
    { command: 'docker save app:1 | imgtool load', does: 'load from another engine' },
  ],
  async run({ options, compose, input, signal }) {
    const path = options.text('input');
    const fromStdin = path === undefined || path === '-';
    if (!fromStdin) await expectThere(path);
    const source = fromStdin ? input() : path;
    const title = fromStdin ? 'standard input' : path;
    const archive = await compose.openArchive({ source, title, temporaryDirectory: spoolDirectory(), signal });
    try {
      const { loadImages } = await import('../../operations/index.js');
      const images = await loadImages(await compose.unpacking(), {
        archive,
        replace: options.flag('replace'),
        ...platformOf(options),
        reserveBytes: options.number('reserve')!,
        bootId: await compose.bootId(),
        signal,
      });
      return {
        json: { images },
        text: images.flatMap(({ id, names }) => (names.length === 0 ? [id] : names)),
        quiet: images.map(({ id }) => id),
      };
    } finally {
      await archive.close();
    }
  },
};

async function saveTo(
  { args, options, compose, progress, signal }: CommandContext,
  target: Parameters<CommandContext['compose']['createArchive']>[0],
): Promise<SavedImage[]> {
  namedLogin(options, [], SEVERAL_LOGINS);
  const { saveImages } = await import('../../operations/index.js');
  const local = await compose.local();
  const registry = async () => (await compose.remote()).registry;
  const createArchive = () => compose.createArchive(target);
  // Readers of layouts, skopeo before 1.10 and umoci among them, expect OCI manifests there.
  const manifestFormat = target.format === 'oci-archive' || target.format === 'oci-dir' ? 'oci' : undefined;
  return saveImages({ ...local, progress, registry }, { images: args, manifestFormat, createArchive, signal });
}

function written(images: readonly SavedImage[], path: string): CommandResult {
  return { json: { images, path }, text: [] };
}

async function expectThere(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    throw fileError(path, 'read', error);
  }
}
