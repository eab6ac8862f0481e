import { formatSize, parseSize } from '../../util/index.js';
import type { CommandTable } from '../command.js';
import type { StoreRoot } from '../../snapshot/index.js';

export const storeInit: CommandTable = {
  group: 'Store',
  summary: 'create the store, or mount it',
  description:
    'The first pull, load or import does this too. On btrfs the store is a subvolume; elsewhere it is an embedded pool: a sparse file ROOT.btrfs ' +
    'mounted on ROOT.',
  arguments: [],
  options: [
    { name: 'size', value: 'SIZE', parse: parseSize, summary: 'virtual size of the embedded pool' },
    { name: 'device', value: 'DEVICE', summary: 'block device to format for the pool; its data is lost' },
  ],
  examples: [
    { command: 'imgtool store init', does: 'default place and size' },
    { command: 'imgtool store init --root /srv/images --size 200GiB', does: 'another place and size' },
  ],
  async run({ options, imgtool }) {
    return described(await imgtool.storeInit({ size: options.number('size'), device: options.text('device') }));
  },
};

export const storeInfo: CommandTable = {
  group: 'Store',
  summary: 'show the location of the store and its free space',
  arguments: [],
  options: [],
  examples: [{ command: 'imgtool store info --json', does: 'as JSON' }],
  async run({ imgtool }) {
    const { space, ...store } = await imgtool.storeInfo();
    const result = described(store);
    return {
      json: { ...result.json, space: { ...space, backingFree: space.backingFree ?? null } },
      text: [
        ...result.text,
        `size      ${formatSize(space.total)}`,
        `free      ${formatSize(space.dataFree)} data, ${formatSize(space.metadataFree)} metadata`,
        ...(space.backingFree === undefined
          ? []
          : [`below     ${formatSize(space.backingFree)} free where the pool's file lies`]),
      ],
    };
  },
};

export const storeDf: CommandTable = {
  group: 'Store',
  summary: 'show disk usage of the store',
  description:
    'Layers are counted unpacked, blobs as stored. SHARED is data that several images share, EXCLUSIVE data of one image ' +
    'only: removing that image frees it.',
  arguments: [],
  options: [],
  examples: [{ command: 'imgtool store df', does: 'totals and the usage of each image' }],
  async run({ imgtool }) {
    const usage = await imgtool.storeDf();
    const { layers, blobs, buildCache, space } = usage;
    return {
      json: { ...usage, space: { ...space, backingFree: space.backingFree ?? null } },
      text: {
        columns: [
          'TYPE',
          { title: 'COUNT', align: 'right' },
          { title: 'SIZE', align: 'right' },
          { title: 'SHARED', align: 'right' },
          { title: 'EXCLUSIVE', align: 'right' },
        ],
        rows: [
          [
            'layers',
            String(layers.count),
            formatSize(layers.size),
            formatSize(layers.sharedSize),
            formatSize(layers.exclusiveSize),
          ],
          ...(layers.unrecorded === 0 ? [] : [['unfinished layers', String(layers.unrecorded), '', '', '']]),
          ['blobs', String(blobs.count), formatSize(blobs.size), '', ''],
          ['build steps', String(buildCache.steps), formatSize(buildCache.stepSize), '', ''],
          ['cache mounts', String(buildCache.mounts), formatSize(buildCache.mountSize), '', ''],
          ['containers', String(usage.containers), '', '', ''],
          ['images', String(usage.images.length), '', '', ''],
          ...usage.images.map(({ names, id, size, exclusiveSize }) => [
            `  ${names[0] ?? id.slice(0, 19)}`,
            '',
            formatSize(size),
            formatSize(size - exclusiveSize),
            formatSize(exclusiveSize),
          ]),
        ],
      },
    };
  },
};

function described({ root, pool, version, reserve }: StoreRoot): {
  readonly json: object;
  readonly text: readonly string[];
} {
  const carrier =
    pool === undefined
      ? 'btrfs of this machine'
      : 'file' in pool
        ? `embedded pool ${pool.file}`
        : `device ${pool.device}`;
  return {
    json: { root, version, pool: pool ?? null, reserve },
    text: [`root      ${root}`, `on        ${carrier}`, `version   ${version}`, `reserve   ${formatSize(reserve)}`],
  };
}
