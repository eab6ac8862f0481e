import { UsageError } from '../../errors.js';
import type { SyncedTag } from '../../operations/index.js';
import type { CommandContext, CommandResult, CommandTable } from '../command.js';
import { wholeNumber } from '../options/option.js';
import { QUEUE_OPTION } from '../options/common.js';

export const worker: CommandTable = {
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
    const { options, signal, imgtool, print } = context;
    if (options.text('queue') === undefined)
      throw new UsageError('a worker needs --queue', { hint: 'give it redis://HOST, or set IMGTOOL_QUEUE' });
    if (options.flag('list-dead')) return listDead(context);
    await imgtool.worker({
      takeOver: options.number('take-over'),
      onTag: (tag) => print(lineOf(tag)),
      signal,
    });
    return undefined;
  },
};

function lineOf(tag: SyncedTag): CommandResult {
  const { state, source, target, error } = tag;
  const line = `${state} ${source}:${tag.tag} -> ${target}:${tag.tag}`;
  return { json: tag, text: [error === undefined ? line : `${line}: ${error}`] };
}

async function listDead({ imgtool, signal }: CommandContext): Promise<CommandResult> {
  const dead = await imgtool.deadTags({ signal });
  const text = dead.map(({ source, target, tag, attempts, reason }) => {
    return `${source}:${tag} -> ${target}:${tag}: ${attempts} tries: ${reason}`;
  });
  return { json: dead, text };
}
