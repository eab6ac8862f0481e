import { UsageError } from '../../errors.js';
import type { SyncedTag } from '../../operations/index.js';
import type { CommandContext, CommandResult, CommandSpec } from '../command.js';
import { wholeNumber } from '../option.js';
import { QUEUE_OPTION } from './common-options.js';

export const worker: CommandSpec = {
  path: ['worker'],
  resumes: true,
  group: 'Registries',
  summary: 'copy the tags that sync --queue has put into a queue',
  description:
    'Runs until it is interrupted, on as many machines as wanted. Logins are those of the machine it runs on; none is ' +
    'ever in the queue. --parallel is the number of tags of one source registry under way at the same time. ' +
    'Interrupted, it gives back what it has not finished; killed, others take it over.\n' +
    'Whoever may write to the queue can have images copied with the logins of its workers: keep its Redis to yourself.',
  arguments: [],
  options: [
    QUEUE_OPTION,
    {
      name: 'take-over',
      value: 'SECONDS',
      parse: wholeNumber(1),
      default: 15,
      summary: 'tags of a worker that was not heard of for so long are taken over by others',
    },
    { name: 'list-dead', default: false, summary: 'list the tags that were given up in the last week, and end' },
  ],
  examples: [
    { command: 'imgtool worker --queue redis://queue.example', does: 'copy what is put there' },
    { command: 'imgtool worker --queue redis://queue.example --list-dead', does: 'what could not be copied, and why' },
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
