import type { PullOptions } from '../../imgtool/index.js';
import type { PullPlan, PullResult } from '../../operations/index.js';
import { formatSize } from '../../util/index.js';
import type { CommandSpec, MadeImage } from '../command.js';
import { shortDigest } from '../progress-lines.js';
import { PLATFORM, RESERVE } from './common-options.js';

export const pull: CommandSpec = {
  path: ['pull'],
  resumes: true,
  group: 'Images',
  summary: 'pull an image from a registry into the store',
  description:
    'Prints the image ID. Layers in the store are not fetched again; an interrupted pull resumes where it stopped.',
  arguments: [{ name: 'REF', summary: '[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]' }],
  options: [
    PLATFORM,
    {
      name: 'policy',
      value: 'WHEN',
      choices: ['always', 'missing', 'newer', 'never'],
      default: 'always',
      summary: 'when to pull: always, if the image is missing, if the registry has a newer one, or never',
    },
    { name: 'all-tags', short: 'a', default: false, summary: 'pull every tag of the repository' },
    { name: 'plan', default: false, summary: 'show what would be fetched and the free space; change nothing' },
    RESERVE,
  ],
  examples: [
    { command: 'imgtool pull alpine:3.20', does: 'from Docker Hub' },
    { command: 'imgtool pull localhost:5000/base --platform linux/arm64', does: 'another platform' },
    { command: 'imgtool pull localhost:5000/base --plan', does: 'show how much would be fetched' },
  ],
  async run({ args, options, signal, imgtool }) {
    const name = args[0]!;
    const platform = options.text('platform');
    const policy = options.text('policy') as PullOptions['policy'];
    const how = { platform, policy, reserve: options.number('reserve'), signal };
    if (options.flag('plan')) {
      if (options.flag('all-tags')) {
        const plans = await imgtool.planPullAll(name, { platform, signal });
        return { json: plans, text: plans.flatMap(planLines) };
      }
      const plan = await imgtool.planPull(name, { platform, signal });
      return { json: plan, text: planLines(plan) };
    }
    if (options.flag('all-tags')) {
      const results = await imgtool.pullAll(name, how);
      return { json: results, text: results.map(({ id }) => id), made: results.map(madeOf) };
    }
    const result = await imgtool.pull(name, how);
    return { json: result, text: [result.id], made: [madeOf(result)] };
  },
};

function madeOf({ name, digest, bytes }: PullResult): MadeImage {
  return { image: name, digest, did: 'pulled', bytes };
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
