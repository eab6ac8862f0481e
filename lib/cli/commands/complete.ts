import type { CommandSpec } from '../command.js';

/** What the completion scripts ask. */
export const complete: CommandSpec = {
  path: ['__complete'],
  group: 'Other',
  summary: 'print names for completion',
  arguments: [{ name: 'KIND', summary: 'kind of names', choices: ['image', 'container'] }],
  options: [],
  examples: [],
  hidden: true,
  async run({ args, imgtool }) {
    // The records alone: containers with their sizes would load native code.
    const deps = await (await imgtool.drivers()).records();
    if (deps === undefined) return { json: [], text: [] };
    const names =
      args[0] === 'image'
        ? (await deps.metadata.images.list()).flatMap((record) => record.names)
        : (await deps.metadata.containers.list()).map((record) => record.name);
    return { json: names.sort(), text: names.sort() };
  },
};
