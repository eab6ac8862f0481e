import type { DiffEntry } from '../../imgtool/index.js';
import { formatSize } from '../../util/index.js';
import type { CommandTable } from '../command.js';
import type { Colour } from '../look.js';
import { PLATFORM } from '../options/platform.js';
import { RESERVE } from '../options/reserve.js';

export const diff: CommandTable = {
  group: 'Containers',
  summary: 'list the changes in a container or an image',
  description:
    'A: added, C: changed, D: deleted. A container is compared with its image, an image with the layer ' +
    'below its top layer, unless OTHER is given. The time depends on the number of changes, not on the size of the image. ' +
    'docker://REF is an image at a registry: only layers that the store lacks are fetched, and they are removed afterwards.',
  arguments: [
    {
      name: 'CONTAINER|IMAGE',
      summary: 'name, ID or unique ID prefix, or docker://REF',
      completes: ['container', 'image'],
    },
    {
      name: 'OTHER',
      summary: 'container, image or docker://REF to compare with',
      optional: true,
      completes: ['image', 'container'],
    },
  ],
  options: [
    { name: 'stat', default: false, summary: 'show sizes, what changed about each path, and totals' },
    {
      name: 'path',
      value: 'PATH',
      repeat: true,
      summary: 'show only this path and its contents; * matches within a name',
    },
    PLATFORM,
    RESERVE,
  ],
  examples: [
    { command: 'imgtool diff box', does: 'changes since the container was created' },
    { command: "imgtool diff box --path /etc --path '/usr/*/bin'", does: 'only changes in some directories' },
    { command: 'imgtool diff app:2 app:1 --stat', does: 'compare two images' },
    { command: 'imgtool diff box docker://localhost:5000/app:2', does: 'compare with an image at a registry' },
  ],
  async run({ args, options, signal, imgtool }) {
    const list = await imgtool.diff(args[0]!, {
      other: args[1],
      paths: options.list('path'),
      platform: options.text('platform'),
      reserve: options.number('reserve'),
      signal,
    });
    const text = options.flag('stat') ? statOf(list) : list.map(({ kind, path }) => `${kind} ${path}`);
    return { json: list, text, colourOf: (line) => COLOURS[line.slice(0, 2)] };
  },
};

/** Colours as in text diffs. */
const COLOURS: Readonly<Record<string, Colour>> = { 'A ': 'green', 'C ': 'yellow', 'D ': 'red' };

function statOf(list: readonly DiffEntry[]): string[] {
  const lines = list.map(({ kind, path, changed, size, oldSize }) => {
    const grown = (size ?? 0) - (oldSize ?? 0);
    const sign = grown < 0 ? '-' : '+';
    const about = [
      ...(size === undefined && oldSize === undefined ? [] : [`${sign}${formatSize(Math.abs(grown))}`]),
      ...changed,
    ];
    return `${kind} ${path}${about.length === 0 ? '' : `  (${about.join(', ')})`}`;
  });
  const count = (kind: DiffEntry['kind']): number => list.filter((change) => change.kind === kind).length;
  const bytes = list.reduce((sum, { size }) => sum + (size ?? 0), 0);
  return [...lines, `${count('A')} added, ${count('C')} changed, ${count('D')} deleted; files of ${formatSize(bytes)}`];
}
