import { UsageError } from '../../errors.js';
import type { CopyEnd } from '../../operations/index.js';
import type { CommandSpec } from '../command.js';

export const cp: CommandSpec = {
  path: ['cp'],
  group: 'Containers',
  summary: 'copy files between this machine and a container',
  description:
    'Copies SRC into DST if that is a directory, else to that name. SRC/. copies the contents of a directory. Owners, modes, times, ' +
    'attributes and hard links are kept. Links in a container never lead outside of it; devices are not copied out of one. ' +
    'Write a local path that contains a colon as ./like:this. With - as DST a tar of SRC goes to standard output; with - ' +
    'as SRC a tar, plain or compressed, is unpacked into the directory DST.',
  arguments: [
    { name: 'SRC', summary: 'PATH, CONTAINER:PATH or -', completes: 'file' },
    { name: 'DST', summary: 'PATH, CONTAINER:PATH or -', completes: 'file' },
  ],
  options: [{ name: 'follow-link', short: 'L', default: false, summary: 'if SRC is a symbolic link, copy its target' }],
  examples: [
    { command: 'imgtool cp app.conf box:/etc/', does: 'copy a file into a container' },
    { command: 'imgtool cp box:/var/log/. logs', does: 'copy the contents of a directory out of a container' },
    { command: 'imgtool cp box:/srv - | tar -tv', does: 'list a directory of a container' },
  ],
  async run({ args, options, signal, compose, input, output }) {
    const [source, destination] = [args[0]!, args[1]!];
    const { copyFiles, copyFilesFromTar, copyFilesToTar } = await import('../../operations/index.js');
    const followLink = options.flag('follow-link');
    if (destination === '-') {
      const from = inContainer(source);
      await copyFilesToTar(await compose.local(), { from, output: output(), followLink, signal });
      return undefined;
    }
    if (source === '-') {
      const to = inContainer(destination);
      const totals = await copyFilesFromTar(await compose.local(), { source: input(), to, signal });
      return { json: totals, text: [] };
    }
    const [from, to] = [endOf(source), endOf(destination)];
    if (from.container === undefined && to.container === undefined) {
      throw new UsageError('neither path is in a container', { hint: 'write CONTAINER:PATH for the one that is' });
    }
    const totals = await copyFiles(await compose.local(), { from, to, followLink, signal });
    return { json: totals, text: [] };
  },
};

/** As docker: what begins with `/` or `.` is a path of this machine, whatever follows. */
function endOf(text: string): CopyEnd {
  const colon = text.indexOf(':');
  if (colon < 1 || /^[./]/.test(text)) return { container: undefined, path: text };
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
}

function inContainer(text: string): CopyEnd & { readonly container: string } {
  const { container, path } = endOf(text);
  if (container !== undefined) return { container, path };
  throw new UsageError(`${text} is no path in a container`, { hint: 'write CONTAINER:PATH' });
}
