import { parseReference, parseRepository } from '../../spec/index.js';
import { formatSize } from '../../util/index.js';
import type { PullPlan, PullPolicy, PullRequest, PullResult } from '../../operations/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { shortDigest } from '../progress-lines.js';
import { PLATFORM, platformOf, RESERVE } from './common-options.js';

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
  async run(context) {
    const { args, options, compose } = context;
    const name = await compose.fullName(args[0]!);
    if (!options.flag('all-tags')) {
      const reference = parseReference(name);
      return options.flag('plan')
        ? planned(await plan(context, reference))
        : pulled([await fetch(context, reference)], false);
    }
    const repository = parseRepository(name);
    const { listTags } = await import('../../operations/index.js');
    const references = (await listTags(await context.compose.remote(repository), repository, context)).map((tag) => ({
      ...repository,
      tag,
    }));
    const results: PullResult[] = [];
    for (const reference of references) results.push(await fetch(context, reference));
    return pulled(results, true);
  },
};

function fetch(context: CommandContext, reference: PullRequest['reference']): Promise<PullResult> {
  return pullReference(context, { reference, ...requestOf(context.options) });
}

/** Fetches an image into the store. Throws as `pullImage`. */
export async function pullReference(
  { compose, signal }: Pick<CommandContext, 'compose' | 'signal'>,
  request: Omit<PullRequest, 'bootId' | 'signal'>,
): Promise<PullResult> {
  const { pullImage } = await import('../../operations/index.js');
  const [deps, bootId] = await Promise.all([compose.all(request.reference), compose.bootId()]);
  return pullImage(deps, { ...request, bootId, signal });
}

async function plan(
  { compose, options, signal, progress }: CommandContext,
  reference: PullRequest['reference'],
): Promise<PullPlan> {
  const { planPull } = await import('../../operations/index.js');
  const [local, remote] = await Promise.all([compose.localIfThere(), compose.remote(reference)]);
  return planPull({ progress, ...local, ...remote }, { reference, ...platformOf(options), signal });
}

function requestOf(
  options: CommandContext['options'],
): Pick<PullRequest, 'platform' | 'platformGiven' | 'policy' | 'reserveBytes'> {
  return {
    ...platformOf(options),
    policy: options.text('policy') as PullPolicy,
    reserveBytes: options.number('reserve')!,
  };
}

function pulled(results: readonly PullResult[], several: boolean): CommandResult {
  return { json: several ? results : results[0], text: results.map(({ id }) => id) };
}

function planned(result: PullPlan): CommandResult {
  const rows = result.layers.map(({ digest, v1Id, size, state }) => [
    shortDigest(digest ?? v1Id!),
    formatSize(size),
    state === 'present' ? 'present' : 'to fetch',
  ]);
  return {
    json: result,
    text: [
      `${result.reference}  ${result.platform}  ${result.digest ?? `v1 image ${result.v1Id}`}`,
      ...rows.map(([name, size, state]) => `  ${name}  ${size!.padStart(6)}  ${state}`),
      `to fetch ${formatSize(result.fetchBytes)}, present ${formatSize(result.presentBytes)}`,
      `unpacks to about ${formatSize(result.unpackedBytes)}; ${result.freeBytes === null ? 'no store yet' : `${formatSize(result.freeBytes)} free`}`,
    ],
  };
}
