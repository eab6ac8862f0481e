import { UsageError } from '../../errors.js';
import type { CopyOptions } from '../../imgtool/index.js';
import type { CopyPlan } from '../../operations/index.js';
import { formatSize } from '../../util/index.js';
import { sizeOf } from '../ci/size-of.js';
import type { CommandResult, CommandTable } from '../command.js';
import { SIDE_OPTIONS, sideOptions } from '../options/sides.js';
import { COMPRESSION, compressionText } from '../options/compression.js';
import { withoutEffect } from '../options/peers.js';
import { writeResultFile } from './result-file.js';

export const copy: CommandTable = {
  resumes: true,
  group: 'Registries',
  summary: 'copy an image between registries, stores and archives',
  description:
    'SRC and DST are docker://REF (or just REF), docker-v1://REF, store:NAME, oci:DIR[:TAG], ' +
    'dir:DIR (as skopeo writes it), oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]. Prints the manifest digest. Manifests are copied byte for byte, so ' +
    'digests do not change (except with schema 1: the manifest gets the new name unless --preserve-digests is given). Blobs that a ' +
    'destination has are skipped, blobs in another repository of its registry are mounted, and several destinations share ' +
    'one read of the source. Between registries nothing is written to disk, and no store is needed.\n' +
    'From an index, the image for this machine or for --platform is copied; with --all the whole index; with ' +
    'several platforms an index of just those.\n' +
    '--format and --compression convert the image, which changes digests (a note says so). Converted layers and those of docker-v1:// are stored in TMPDIR (default /var/tmp) until they are sent.',
  arguments: [
    { name: 'SRC', summary: 'source image', completes: 'transport' },
    {
      name: 'DST',
      summary: 'destination; several share one read of the source',
      variadic: true,
      completes: 'transport',
    },
  ],
  options: [
    { name: 'all', short: 'a', default: false, summary: 'copy the whole index with all platforms' },
    {
      name: 'multi-arch',
      value: 'WHAT',
      choices: ['system', 'all', 'index-only'],
      summary: 'of an index: the image for this machine, all of it, or the index alone where its images are already',
    },
    {
      name: 'platform',
      value: 'OS/ARCH[/VARIANT]',
      repeat: true,
      summary: 'platform to select from an index; several give an index of just those',
      shared: true,
    },
    { name: 'additional-tag', value: 'TAG', repeat: true, summary: 'additional tag to set' },
    {
      name: 'format',
      short: 'f',
      value: 'FORMAT',
      choices: ['oci', 'v2s2', 'v2s1'],
      summary: 'manifest format: OCI, Docker schema 2, or schema 1 (a single image); default: unchanged',
    },
    ...COMPRESSION,
    { name: 'digestfile', value: 'FILE', summary: 'write the manifest digest to a file' },
    withoutEffect('remove-signatures', 'simple signatures beside an image are never copied'),
    { name: 'preserve-digests', default: false, summary: 'fail instead of rewriting an index or converting' },
    {
      name: 'dry-run',
      short: 'n',
      default: false,
      summary: 'show what a copy between registries would send; change nothing',
    },
    { name: 'referrers', default: false, summary: 'copy signatures, SBOMs and attestations too' },
    ...SIDE_OPTIONS,
  ],
  examples: [
    {
      command: 'imgtool copy docker://alpine:3.20 dir:/media/usb/alpine --multi-arch all',
      does: 'to carry it over an air gap',
    },
    { command: 'imgtool copy alpine:3.20 localhost:5000/alpine:3.20 --all', does: 'all platforms' },
    {
      command: 'imgtool copy old:5000/app:1 east:5000/app:1 west:5000/app:1 --referrers',
      does: 'to two registries, with signatures',
    },
  ],
  async run({ args, options, signal, imgtool }) {
    const multiArch = options.text('multi-arch');
    if (multiArch !== undefined && multiArch !== 'all' && options.flag('all'))
      throw new UsageError(`--all is not --multi-arch ${multiArch}`, { hint: 'give one of them' });
    const [source, ...destinations] = args as [string, ...string[]];
    const how: CopyOptions = {
      all: options.flag('all') || multiArch === 'all',
      indexOnly: multiArch === 'index-only',
      platforms: options.list('platform'),
      tags: options.list('additional-tag'),
      format: options.text('format') as CopyOptions['format'],
      compression: compressionText(options),
      preserveDigests: options.flag('preserve-digests'),
      referrers: options.flag('referrers'),
      ...sideOptions(options),
      signal,
    };
    if (options.flag('dry-run')) return planned(await imgtool.planCopy(source, destinations, how));
    const result = await imgtool.copy(source, destinations, how);
    await writeResultFile(options.text('digestfile'), result.digest, 'the image is copied, but its digest');
    const { digest, bytes, layers } = result;
    const made = destinations.map((name) => ({
      image: name.replace(/^docker:\/\//, ''),
      digest,
      did: 'copied',
      bytes,
      size: sizeOf(layers),
    }));
    return { json: result, text: [digest], made };
  },
};

function planned(plan: CopyPlan): CommandResult {
  const lines = plan.targets.map(({ name, state }) => `${state === 'present' ? 'present' : 'to copy'} ${name}`);
  const sum = `about ${formatSize(plan.bytes)} to send, ${plan.requests} requests`;
  return { json: plan, text: [plan.digest, ...lines, sum] };
}
