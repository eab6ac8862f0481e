import type { PullOptions } from '../../imgtool/index.js';
import type { PullPlan, PullResult } from '../../operations/index.js';
import { formatSize } from '../../util/index.js';
import { sizeOf } from '../ci/size-of.js';
import type { CommandTable, MadeImage } from '../command.js';
import { shortDigest } from '../short-digest.js';
import { PLATFORM, PLATFORM_PARTS, platformText } from '../options/platform.js';
import { RESERVE } from '../options/reserve.js';
import { forEachArgument } from './for-each-argument.js';

export const pull: CommandTable = {
  resumes: true,
  group: 'Images',
  summary: 'pull images from a registry into the store',
  description:
    'Prints the image IDs. Layers in the store are not fetched again; an interrupted pull resumes where it stopped. ' +
    'If one of several REFs cannot be pulled, the others are pulled all the same.',
  arguments: [{ name: 'REF', summary: '[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]', variadic: true }],
  options: [
    PLATFORM,
    ...PLATFORM_PARTS,
    {
      name: 'policy',
      value: 'WHEN',
      choices: ['always', 'missing', 'newer', 'never'],
      default: 'always',
      summary: 'when to pull: always, if the image is missing, if the registry has a newer one, or never',
    },
    { name: 'all-tags', short: 'a', default: false, summary: 'pull every tag of the repository' },
    {
      name: 'dry-run',
      aliases: ['plan'],
      default: false,
      summary: 'show what would be fetched and the free space; change nothing',
    },
    RESERVE,
  ],
  examples: [
    { command: 'imgtool pull alpine:3.20', does: 'from Docker Hub' },
    { command: 'imgtool pull localhost:5000/base --platform linux/arm64', does: 'another platform' },
    { command: 'imgtool pull --arch arm64 alpine:3.20 debian:13', does: 'two images for another architecture' },
    { command: 'imgtool pull localhost:5000/base --dry-run', does: 'show how much would be fetched' },
  ],
  async run(context) {
    const { options, signal, imgtool } = context;
    const platform = platformText(options);
    const policy = options.text('policy') as PullOptions['policy'];
    const how = { platform, policy, reserve: options.number('reserve'), signal };
    const pullOne = async (name: string): Promise<Pulled> => {
      if (options.flag('dry-run')) {
        const plans = options.flag('all-tags')
          ? await imgtool.planPullAll(name, { platform, signal })
          : await imgtool.planPull(name, { platform, signal });
        return { json: plans, text: [plans].flat().flatMap(planLines), made: [] };
      }
      if (options.flag('all-tags')) {
        const results = await imgtool.pullAll(name, how);
        return { json: results, text: results.map(({ id }) => id), made: results.map(madeOf) };
      }
      const result = await imgtool.pull(name, how);
      return { json: result, text: [result.id], made: [madeOf(result)] };
    };
    const [only, ...more] = context.args as [string, ...string[]];
    if (more.length === 0) return pullOne(only);
    return forEachArgument(context, pullOne, (all) => ({
      json: all.flatMap(({ json }) => json),
      text: all.flatMap(({ text }) => text),
      made: all.flatMap(({ made }) => made),
    }));
  },
};

interface Pulled {
  readonly json: unknown;
  readonly text: readonly string[];
  readonly made: readonly MadeImage[];
}

function madeOf({ name, digest, bytes, layers }: PullResult): MadeImage {
  return { image: name, digest, did: 'pulled', bytes, size: sizeOf(layers) };
}

function planLines(result: PullPlan): string[] {
  const rows = result.layers.map(({ digest, v1Id, size, state }) => [
    shortDigest(digest ?? v1Id!),
    formatSize(size),
    state === 'present' ? 'present' : 'to fetch',
  ]);
  return [
    `${result.reference}  ${result.platform}  ${result.digest ?? `v1 image ${result.v1Id}`}`,
    ...rows.map(([name, size, state]) => `  ${name}  ${size!.padStart(6)}  ${state}`),
    `to fetch ${formatSize(result.fetchBytes)}, present ${formatSize(result.presentBytes)}`,
    `unpacks to about ${formatSize(result.unpackedBytes)}; ${result.freeBytes === null ? 'no store yet' : `${formatSize(result.freeBytes)} free`}`,
  ];
}
