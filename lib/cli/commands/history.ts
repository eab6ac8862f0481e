import type { CommandTable } from '../command.js';
import { FORMAT, readFormat } from '../options/format.js';
import { HISTORY_HEADINGS, historyRow } from '../views/history-row.js';
import { PLATFORM } from '../options/platform.js';

export const history: CommandTable = {
  group: 'Images',
  summary: 'show how an image was built, newest step first',
  description:
    'docker://REF reads from the registry and pulls nothing; sizes are then those of the compressed layers.\n' +
    'With --quiet the ID of the image is printed, and <missing> for the steps below, which are no images. ' +
    'Fields of --format: .ID .CreatedAt .CreatedSince .CreatedBy .Size .Comment .Author .Tags .Digest .DiffID .EmptyLayer.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique ID prefix, or docker://REF', completes: 'image' }],
  options: [
    { name: 'no-trunc', default: false, summary: 'do not truncate the steps and IDs' },
    {
      name: 'human',
      short: 'H',
      default: true,
      summary: 'print ages and sizes for people; with false, times and bytes',
    },
    FORMAT,
    PLATFORM,
  ],
  examples: [
    { command: 'imgtool history alpine', does: 'show the steps and their sizes' },
    { command: 'imgtool history alpine --no-trunc', does: 'show the steps in full' },
    { command: "imgtool history alpine --human=false --format '{{.Size}} {{.CreatedBy}}'", does: 'sizes in bytes' },
  ],
  async run({ args, imgtool, options, signal }) {
    const format = await readFormat(options.text('format'));
    const steps = await imgtool.history(args[0]!, { platform: options.text('platform'), signal });
    const shape = { noTrunc: options.flag('no-trunc'), human: options.flag('human') };
    const rows = steps.map((step) => historyRow(step, shape));
    if (format !== undefined && !options.flag('quiet'))
      return format.result(rows, { headings: HISTORY_HEADINGS, json: steps });
    return {
      json: steps,
      text: {
        columns: ['CREATED', 'CREATED BY', { title: 'SIZE', align: 'right' }, 'COMMENT'],
        rows: rows.map((row) => [row.CreatedSince, row.CreatedBy, row.Size, row.Comment]),
      },
      quiet: rows.map(({ ID }) => ID),
    };
  },
};
