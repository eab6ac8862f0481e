import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import type { CommandSpec } from '../command.js';
import { forEachArgument } from './for-each-argument.js';

export const create: CommandSpec = {
  path: ['create'],
  group: 'Containers',
  summary: 'create a container: a writable snapshot of an image',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique ID prefix', completes: 'image' }],
  options: [{ name: 'name', value: 'NAME', summary: 'name of the container; default: a generated one' }],
  examples: [{ command: 'imgtool create --name box alpine:3.20', does: 'create a container named box' }],
  async run({ args, options, signal, imgtool }) {
    const created = await imgtool.create(args[0]!, { name: options.text('name'), signal });
    return { json: created, text: [created.id] };
  },
};

export const containers: CommandSpec = {
  path: ['containers'],
  aliases: ['ps'],
  group: 'Containers',
  summary: 'list containers',
  description:
    'SIZE is the size of the image, CHANGED the amount of data written to the container. With --quiet only IDs are printed.',
  arguments: [],
  options: [],
  examples: [{ command: 'imgtool containers --json', does: 'as JSON' }],
  async run({ imgtool }) {
    const list = await imgtool.containers();
    return {
      json: list,
      text: {
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
          id.slice(0, 12),
          names.join(', '),
          imageName,
          formatAge(created),
          formatSize(size),
          formatSize(exclusiveSize),
          running ? 'running' : '',
        ]),
      },
      quiet: list.map(({ id }) => id),
    };
  },
};

export const rm: CommandSpec = {
  path: ['rm'],
  group: 'Containers',
  summary: 'remove containers and their files',
  description: 'If one cannot be removed, the others are removed all the same.',
  arguments: [{ name: 'CONTAINER', summary: 'name, ID or unique ID prefix', variadic: true, completes: 'container' }],
  options: [],
  examples: [{ command: 'imgtool rm box', does: 'remove one container' }],
  async run(context) {
    const { signal, imgtool } = context;
    return forEachArgument(
      context,
      async (container) => {
        const { id, name } = await imgtool.rm(container, { signal });
        return { argument: container, id, name };
      },
      (removed) => ({
        json: removed.map(({ id, name }) => ({ id, name })),
        text: removed.map(({ argument }) => argument),
      }),
    );
  },
};

export const mount: CommandSpec = {
  path: ['mount'],
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
