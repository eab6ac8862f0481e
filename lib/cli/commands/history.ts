import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import type { CommandSpec } from '../command.js';

const CREATED_BY_COLUMNS = 60;

export const history: CommandSpec = {
  path: ['history'],
  group: 'Images',
  summary: 'show how an image was made, newest step first',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique prefix of one', completes: 'image' }],
  options: [{ name: 'no-trunc', default: false, summary: 'do not shorten the steps' }],
  examples: [
    { command: 'imgtool history alpine', does: 'the steps and what each added' },
    { command: 'imgtool history alpine --no-trunc', does: 'the same in full' },
  ],
  async run({ args, options, compose }) {
    const { imageHistory } = await import('../../operations/index.js');
    const steps = await imageHistory(await compose.local(), args[0]!);
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
