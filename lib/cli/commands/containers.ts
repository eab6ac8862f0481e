import type { CreateOptions, ListContainersOptions, ListedContainer } from '../../imgtool/index.js';
import { compareText, formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import type { CommandTable } from '../command.js';
import { wholeNumber } from '../options/option.js';
import { FORMAT, readFormat } from '../options/format.js';
import type { Table } from '../table.js';
import { CONTAINER_HEADINGS, containerRow } from '../views/container-row.js';
import { PULL } from '../options/common.js';
import { refusing, withoutEffect } from '../options/peers.js';
import { PLATFORM } from '../options/platform.js';
import { RESERVE } from '../options/reserve.js';
import { argumentsOrAll, forEachArgument, ignoring } from './for-each-argument.js';

/** Options of docker and podman create that concern a command. */
const RUN_FLAGS = [
  ...['-i', '--interactive', '-t', '--tty', '-e', '--env', '--env-file', '-w', '--workdir', '-u', '--user', '-v'],
  ...['--volume', '--mount', '--tmpfs', '--read-only', '--hostname', '--add-host', '--cap-add', '--cap-drop'],
  ...['--privileged', '-m', '--memory', '--cpus', '--pids-limit', '--ulimit', '--init', '--network', '--net'],
  ...['--entrypoint', '--security-opt', '--rm', '--restart', '-d', '--detach'],
];

export const create: CommandTable = {
  group: 'Containers',
  summary: 'create a container: a writable snapshot of an image',
  description:
    'How a command is run (its environment, mounts, limits) is not kept with the container but given to imgtool run.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique ID prefix', completes: 'image' }],
  options: [
    { name: 'name', value: 'NAME', summary: 'name of the container; default: a generated one' },
    PULL,
    PLATFORM,
    RESERVE,
  ],
  refuses: {
    ...refusing(RUN_FLAGS, 'a container holds files only: give it to imgtool run CONTAINER'),
    ...refusing(
      ['-p', '--publish', '-P', '--publish-all'],
      'commands have the network of this machine: see imgtool run',
    ),
    ...refusing(['-l', '--label'], 'labels belong to images: imgtool mutate IMAGE --label K=V'),
  },
  examples: [{ command: 'imgtool create --name box alpine:3.20', does: 'create a container named box' }],
  async run({ args, options, signal, imgtool }) {
    const created = await imgtool.create(args[0]!, {
      name: options.text('name'),
      pull: options.text('pull') as CreateOptions['pull'],
      platform: options.text('platform'),
      reserve: options.number('reserve'),
      signal,
    });
    return { json: created, text: [created.id] };
  },
};

export const containers: CommandTable = {
  group: 'Containers',
  summary: 'list containers',
  description:
    'SIZE is the size of the image, CHANGED the amount of data written to the container. With --quiet only IDs are printed.\n' +
    'Filters: id=ID, name=REGEX, ancestor=IMAGE, status=running|created|exited|stopped, label=KEY[=VALUE] (of the image), ' +
    'before=CONTAINER, since=CONTAINER.\n' +
    'Fields of --format: .ID .Names .Image .Command .CreatedAt .RunningFor .State .Status .Size .Labels .Label .ImageID .Path.',
  arguments: [],
  options: [
    withoutEffect('all', 'containers in which nothing runs are always listed', { short: 'a' }),
    { name: 'filter', short: 'f', value: 'KEY=VALUE', repeat: true, summary: 'only containers that match; see above' },
    FORMAT,
    { name: 'no-trunc', default: false, summary: 'show full IDs and times' },
    { name: 'noheading', default: false, summary: 'print no column headings' },
    withoutEffect('size', 'sizes are always shown', { short: 's' }),
    { name: 'last', short: 'n', value: 'N', parse: wholeNumber(0), summary: 'only the N containers created last' },
    { name: 'latest', short: 'l', default: false, summary: 'only the container created last' },
    {
      name: 'sort',
      value: 'BY',
      choices: ['created', 'id', 'image', 'names', 'size', 'status'],
      default: 'created',
      summary: 'order; the newest, the largest and the running come first',
    },
  ],
  examples: [
    { command: 'imgtool containers --json', does: 'as JSON' },
    { command: "imgtool ps -a --format 'table {{.Names}}\\t{{.Status}}'", does: 'chosen columns' },
    { command: 'imgtool ps -q --filter ancestor=alpine:3.20', does: 'IDs of the containers of an image' },
  ],
  async run({ imgtool, options }) {
    const format = await readFormat(options.text('format'));
    const listed = await imgtool.containers({
      filters: options.list('filter'),
      sort: options.text('sort') as ListContainersOptions['sort'],
      configs: format?.mentions('Command', 'Labels', 'Label') ?? false,
    });
    const last = options.flag('latest') ? 1 : options.number('last');
    const list = last === undefined ? listed : newest(listed, last);
    const [noTrunc, noHeading] = [options.flag('no-trunc'), options.flag('noheading')];
    if (format !== undefined && !options.flag('quiet')) {
      const rows = list.map((container) => containerRow(container, { config: container.config, noTrunc }));
      return format.result(rows, { headings: CONTAINER_HEADINGS, noHeading, json: list });
    }
    return { json: list, text: tableOf(list, { noTrunc, noHeading }), quiet: list.map(({ id }) => id) };
  },
};

/** The newest `count` entries of a list, in its order. */
function newest(list: readonly ListedContainer[], count: number): readonly ListedContainer[] {
  const chosen = new Set(list.toSorted((a, b) => compareText(b.created, a.created)).slice(0, count));
  return list.filter((container) => chosen.has(container));
}

function tableOf(
  list: readonly ListedContainer[],
  { noTrunc, noHeading }: { readonly noTrunc: boolean; readonly noHeading: boolean },
): Table {
  return {
    noHeading,
    columns: [
      'CONTAINER ID',
      'NAME',
      'IMAGE',
      'CREATED',
      { title: 'SIZE', align: 'right' },
      { title: 'CHANGED', align: 'right' },
      'STATUS',
    ],
    rows: list.map(({ id, names, imageName, created, size, exclusiveSize, running }) => [
      noTrunc ? id : id.slice(0, 12),
      names.join(', '),
      imageName,
      noTrunc ? created : formatAge(created),
      formatSize(size),
      formatSize(exclusiveSize),
      running ? 'running' : '',
    ]),
  };
}

export const rm: CommandTable = {
  group: 'Containers',
  summary: 'remove containers and their files',
  description:
    'If one cannot be removed, the others are removed all the same. A container in which a command runs is refused without ' +
    '--force. "imgtool store gc" removes layers that no image and no container needs any more.',
  arguments: [
    {
      name: 'CONTAINER',
      summary: 'name, ID or unique ID prefix',
      optional: true,
      variadic: true,
      completes: 'container',
    },
  ],
  options: [
    { name: 'all', short: 'a', default: false, summary: 'remove all containers' },
    {
      name: 'filter',
      value: 'KEY=VALUE',
      repeat: true,
      summary: 'remove matching containers; filters as in imgtool ps',
    },
    {
      name: 'force',
      short: 'f',
      default: false,
      summary: 'kill a command that runs in the container; a container that does not exist is no error',
    },
    { name: 'ignore', short: 'i', default: false, summary: 'a container that does not exist is no error' },
    withoutEffect('volumes', 'there are no anonymous volumes', { short: 'v' }),
  ],
  examples: [
    { command: 'imgtool rm box', does: 'remove one container' },
    { command: 'imgtool rm -f box', does: 'even if a command runs in it' },
    { command: 'imgtool rm --all', does: 'remove all containers' },
  ],
  async run(context) {
    const { options, signal, imgtool } = context;
    const force = options.flag('force');
    const args = await argumentsOrAll(context, 'CONTAINER', async (filters) => {
      return (await imgtool.containers({ filters })).map(({ id }) => id);
    });
    return forEachArgument(
      { ...context, args },
      async (container) => {
        const removed = await ignoring(force || options.flag('ignore'), () => imgtool.rm(container, { force, signal }));
        return { argument: container, removed };
      },
      (done) => ({
        json: done.flatMap(({ removed }) => removed ?? []),
        text: done.flatMap(({ argument, removed }) => (removed === undefined ? [] : [argument])),
      }),
    );
  },
};

export const mount: CommandTable = {
  group: 'Containers',
  summary: "print the directory that holds a container's files",
  description: 'The directory can be used right away; no unmount is needed.',
  arguments: [{ name: 'CONTAINER', summary: 'name, ID or unique ID prefix', completes: 'container' }],
  options: [],
  examples: [{ command: 'ls "$(imgtool mount box)"', does: 'list the files' }],
  async run({ args, imgtool }) {
    const path = await imgtool.mount(args[0]!);
    return { json: { path }, text: [path] };
  },
};
