import { ImgtoolError, UsageError } from '../../errors.js';
import type { SyncedTag, TagJob } from '../../operations/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { namedLogin, SEVERAL_LOGINS } from '../creds.js';
import { wholeNumber } from '../option.js';
import { SyncMemoryFile } from '../sync-state.js';
import { QUEUE_OPTION } from './common-options.js';

export const worker: CommandSpec = {
  path: ['worker'],
  resumes: true,
  group: 'Registries',
  summary: 'copy the tags that sync --queue has queued',
  description:
    'Runs until it is interrupted, on any number of machines. It uses the logins of its machine; the queue never ' +
    'holds any. --parallel is the number of concurrent tags per source registry. ' +
    'An interrupted worker returns its unfinished tags to the queue; other workers take over those of a killed one.\n' +
    'Anyone who can write to the queue can copy images with the logins of the workers: restrict access to Redis.',
  arguments: [],
  options: [
    QUEUE_OPTION,
    {
      name: 'take-over',
      value: 'SECONDS',
      parse: wholeNumber(1),
      default: 15,
      summary: 'seconds without a sign of life before others take over the tags of a worker',
    },
    { name: 'list-dead', default: false, summary: 'list the tags that failed for good in the last week, then exit' },
  ],
  examples: [
    { command: 'imgtool worker --queue redis://queue.example', does: 'copy queued tags' },
    { command: 'imgtool worker --queue redis://queue.example --list-dead', does: 'list failed tags and the reasons' },
  ],
  async run(context) {
    const { options, signal, compose, progress, print } = context;
    if (options.text('queue') === undefined)
      throw new UsageError('a worker needs --queue', { hint: 'give it redis://HOST, or set IMGTOOL_QUEUE' });
    namedLogin(options, [], SEVERAL_LOGINS);
    if (options.flag('list-dead')) return listDead(context);
    const { TagMirror } = await import('../../operations/index.js');
    const { registry, parallel } = await compose.transports();
    const memory = await SyncMemoryFile.open(process.env);
    const keepMemory = memory.keep();
    const mirror = new TagMirror({ registry, progress, parallel, memory }, (tag) => print(lineOf(tag)));
    try {
      const jobs = await compose.jobWorker({
        leaseMs: options.number('take-over')! * 1000,
        work: (payload, how) => mirror.work(payload, how),
        signal,
      });
      progress.note('waiting for tags');
      await jobs.run();
    } finally {
      await keepMemory();
    }
    return undefined;
  },
};

function lineOf(tag: SyncedTag): CommandResult {
  const { state, source, target, error } = tag;
  const line = `${state} ${source}:${tag.tag} -> ${target}:${tag.tag}`;
  return { json: tag, text: [error === undefined ? line : `${line}: ${error}`] };
}

async function listDead({ compose, progress, signal }: CommandContext): Promise<CommandResult> {
  const { parseTagJob } = await import('../../operations/index.js');
  let foreign = 0;
  const read = (payload: unknown): TagJob | undefined => {
    try {
      return parseTagJob(payload);
    } catch (error) {
      if (!(error instanceof ImgtoolError)) throw error;
      foreign++;
      return undefined;
    }
  };
  const queue = await compose.jobQueue({ attempts: 1, backoffMs: 0, signal });
  try {
    const dead = (await queue.dead()).flatMap(({ payload, reason, attempts }) => {
      const job = read(payload);
      if (job === undefined) return [];
      const { source, tag, targets } = job;
      return targets.map((target) => ({
        source: `${source.host}/${source.repository}`,
        target: `${target.host}/${target.repository}`,
        ...{ tag, attempts, reason },
      }));
    });
    if (foreign > 0) progress.note(`${foreign} jobs in the queue are not of sync, or of another version`);
    const text = dead.map(({ source, target, tag, attempts, reason }) => {
      return `${source}:${tag} -> ${target}:${tag}: ${attempts} tries: ${reason}`;
    });
    return { json: dead, text };
  } finally {
    await queue.close();
  }
}
