import type { CommandSpec } from '../command.js';

export const cp: CommandSpec = {
  path: ['cp'],
  group: 'Containers',
  summary: 'copy files between this machine and a container',
  description:
    'Into DST when that is a directory, else to that name. SRC/. copies what is in a directory. Owners, modes, times, ' +
    'attributes and hard links are kept. Links in a container lead nowhere outside of it; devices are not copied out of one. ' +
    'A path of this machine with a colon is written ./like:this. With - as DST a tar of SRC goes to standard output; with - ' +
    'as SRC a tar, plain or compressed, is unpacked into the directory DST.',
  arguments: [
    { name: 'SRC', summary: 'PATH, CONTAINER:PATH or -', completes: 'file' },
    { name: 'DST', summary: 'PATH, CONTAINER:PATH or -', completes: 'file' },
  ],
  options: [
    { name: 'follow-link', short: 'L', default: false, summary: 'copy what SRC points to when it is a symbolic link' },
  ],
  examples: [
    { command: 'imgtool cp app.conf box:/etc/', does: 'a file into a container' },
    { command: 'imgtool cp box:/var/log/. logs', does: 'what is in a directory of a container' },
    { command: 'imgtool cp box:/srv - | tar -tv', does: 'list a directory of a container' },
  ],
  async run({ args, options, signal, imgtool, input, output }) {
    const [source, destination] = [args[0]!, args[1]!];
    const how = { followLink: options.flag('follow-link'), signal };
    if (destination === '-') {
      await imgtool.cp(source, output(), how);
      return undefined;
    }
    return { json: await imgtool.cp(source === '-' ? input() : source, destination, how), text: [] };
  },
};
