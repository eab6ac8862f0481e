import type { CommandTable } from '../command.js';

export const cp: CommandTable = {
  group: 'Containers',
  summary: 'copy files between this machine and a container',
  description:
    'Copies SRC into DST if that is a directory, else to that name. SRC/. copies the contents of a directory. Owners, modes, times, ' +
    'attributes and hard links are kept. Links in a container never lead outside of it; devices are not copied out of one. ' +
    'Write a local path that contains a colon as ./like:this. With - as DST a tar of SRC goes to standard output; with - ' +
    'as SRC a tar, plain or compressed, is unpacked into the directory DST.',
  arguments: [
    { name: 'SRC', summary: 'PATH, CONTAINER:PATH or -', completes: ['container-path', 'file'] },
    { name: 'DST', summary: 'PATH, CONTAINER:PATH or -', completes: ['container-path', 'file'] },
  ],
  options: [{ name: 'follow-link', short: 'L', default: false, summary: 'if SRC is a symbolic link, copy its target' }],
  examples: [
    { command: 'imgtool cp app.conf box:/etc/', does: 'copy a file into a container' },
    { command: 'imgtool cp box:/var/log/. logs', does: 'copy the contents of a directory out of a container' },
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
