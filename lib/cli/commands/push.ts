import { UsageError } from '../../errors.js';
import type { PushOptions } from '../../imgtool/index.js';
import type { PushPlan, PushResult } from '../../operations/index.js';
import { formatSize } from '../../util/index.js';
import { sizeOf } from '../ci/size-of.js';
import type { CommandContext, CommandResult, CommandTable, MadeImage } from '../command.js';
import { shortDigest } from '../short-digest.js';
import { COMPRESSION, compressionText } from '../options/compression.js';
import { withoutEffect } from '../options/peers.js';
import { writeResultFile } from './result-file.js';

export const push: CommandTable = {
  resumes: true,
  group: 'Images',
  summary: 'push an image to a registry',
  description:
    'Prints the manifest digest. Only blobs that the registry lacks are sent: those in another repository are mounted, and ' +
    'an interrupted upload resumes where it stopped. A pulled image keeps its digest unless --format or ' +
    '--compression changes it.',
  arguments: [
    { name: 'IMAGE', summary: 'name, ID or unique ID prefix', completes: 'image' },
    { name: 'REF', summary: 'destination; default: the name of the image', optional: true },
  ],
  options: [
    { name: 'tag', short: 't', value: 'TAG', repeat: true, summary: 'additional tag to set' },
    {
      name: 'format',
      short: 'f',
      value: 'FORMAT',
      choices: ['oci', 'v2s2', 'v2s1', 'v1'],
      summary: 'manifest format: OCI, Docker schema 2 or schema 1; v1: use registry protocol v1; default: unchanged',
    },
    ...COMPRESSION,
    withoutEffect('remove-signatures', 'a push sends no signatures'),
    { name: 'digestfile', value: 'FILE', summary: 'write the manifest digest to a file' },
    {
      name: 'all-tags',
      short: 'a',
      default: false,
      summary: 'push every name that the store has in the repository IMAGE',
    },
    {
      name: 'dry-run',
      aliases: ['plan'],
      default: false,
      summary: 'show what would be uploaded and mounted; change nothing',
    },
  ],
  examples: [
    { command: 'imgtool push localhost:5000/app:2', does: 'to the registry in its name' },
    { command: 'imgtool push app:2 localhost:5000/app:2 --tag latest', does: 'to another registry, with two tags' },
    { command: 'imgtool push --all-tags localhost:5000/app', does: 'all names in a repository' },
    { command: 'imgtool push app:2 --format oci --compression zstd', does: 'as OCI with zstd layers' },
  ],
  async run(context) {
    const { args, options, signal, imgtool } = context;
    const how: PushOptions = {
      to: args[1],
      tags: options.list('tag'),
      format: options.text('format') as PushOptions['format'],
      compression: compressionText(options),
      signal,
    };
    if (options.flag('all-tags')) return pushedAll(context, how);
    if (options.flag('dry-run')) return planned(await imgtool.planPush(args[0]!, how));
    return pushed(context, await imgtool.push(args[0]!, how));
  },
};

async function pushedAll({ args, imgtool, options }: CommandContext, how: PushOptions): Promise<CommandResult> {
  const alone = ['dry-run', 'digestfile', 'tag'].find((name) => options.origin(name) === 'flag');
  if (alone !== undefined) throw new UsageError(`--${alone} is for a single image`, { hint: 'leave out --all-tags' });
  const results = await imgtool.pushAll(args[0]!, how);
  return { json: results, text: results.map(({ digest }) => digest), made: results.map(madeOf) };
}

async function pushed({ options }: CommandContext, result: PushResult): Promise<CommandResult> {
  await writeResultFile(options.text('digestfile'), result.digest, 'the image is pushed, but its digest');
  return { json: result, text: [result.digest], made: [madeOf(result)] };
}

function madeOf({ name, digest, bytes, layers }: PushResult): MadeImage {
  return { image: name, digest, did: 'pushed', bytes, size: sizeOf(layers) };
}

function planned(plan: PushPlan): CommandResult {
  const does = {
    present: 'present',
    mounted: 'to mount',
    uploaded: 'to upload',
    skipped: 'non-distributable (foreign)',
  } as const;
  const rows = plan.layers.map(
    ({ digest, size, state }) => `  ${shortDigest(digest)}  ${formatSize(size).padStart(6)}  ${does[state]}`,
  );
  const sums = [
    `to upload ${formatSize(plan.uploadBytes)}`,
    `to mount ${formatSize(plan.mountBytes)}`,
    `present ${formatSize(plan.presentBytes)}`,
  ];
  return { json: plan, text: [`${plan.reference}  ${plan.digest}`, ...rows, sums.join(', ')] };
}
