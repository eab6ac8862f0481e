import type { DiffEntry } from '../../imgtool/index.js';
import { formatSize } from '../../util/index.js';
import type { CommandSpec } from '../command.js';
import { PLATFORM, RESERVE } from './common-options.js';

export const diff: CommandSpec = {
  path: ['diff'],
  group: 'Containers',
  summary: 'list what changed in a container or an image',
  description:
    'A: added, C: changed, D: deleted. A container is compared with what it was made from, an image with the layer ' +
    'below its top one, unless OTHER is given. The time it takes depends on the number of changes, not on the image. ' +
    'docker://REF is an image at its registry: only layers that are not here are fetched, and nothing of it stays.',
  arguments: [
    { name: 'CONTAINER|IMAGE', summary: 'name, ID or unique prefix of one, or docker://REF', completes: 'container' },
    { name: 'OTHER', summary: 'container, image or docker://REF to compare with', optional: true, completes: 'image' },
  ],
  options: [{ name: 'stat', default: false, summary: 'sizes, what changed of each path, and sums' }, PLATFORM, RESERVE],
  examples: [
    { command: 'imgtool diff box', does: 'what changed since the container was made' },
    { command: 'imgtool diff app:2 app:1 --stat', does: 'between two images' },
    { command: 'imgtool diff box docker://localhost:5000/app:2', does: 'with what the registry has' },
  ],
  async run({ args, options, signal, imgtool }) {
    const list = await imgtool.diff(args[0]!, {
      other: args[1],
      platform: options.text('platform'),
      reserve: options.number('reserve'),
      signal,
    });
    return { json: list, text: options.flag('stat') ? statOf(list) : list.map(({ kind, path }) => `${kind} ${path}`) };
  },
};

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
