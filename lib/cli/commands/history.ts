import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import type { CommandSpec } from '../command.js';
import { PLATFORM } from './common-options.js';

const CREATED_BY_COLUMNS = 60;

export const history: CommandSpec = {
  path: ['history'],
  group: 'Images',
  summary: 'show how an image was made, newest step first',
  description: 'docker://REF asks the registry and pulls nothing; sizes are compressed ones then.',
  arguments: [
    { name: 'IMAGE', summary: 'name, ID or unique prefix of one; docker://REF for a registry', completes: 'image' },
  ],
  options: [{ name: 'no-trunc', default: false, summary: 'do not shorten the steps' }, PLATFORM],
  examples: [
    { command: 'imgtool history alpine', does: 'the steps and what each added' },
    { command: 'imgtool history alpine --no-trunc', does: 'the same in full' },
  ],
  async run(context) {
    const { args, imgtool, options, signal } = context;
    const steps = await imgtool.history(args[0]!, { platform: options.text('platform'), signal });
    const shorten = (text: string): string =>
      options.flag('no-trunc') || text.length <= CREATED_BY_COLUMNS
        ? text
        : `${text.slice(0, CREATED_BY_COLUMNS - 3)}...`;
    return {
      json: steps,
      text: {
        columns: ['CREATED', 'CREATED BY', { title: 'SIZE', align: 'right' }, 'COMMENT'],
        rows: steps.map((step) => [
          formatAge(step.created),
          shorten(step.createdBy.replace(/\s+/g, ' ')),
          formatSize(step.size),
          step.comment,
        ]),
      },
    };
  },
};
