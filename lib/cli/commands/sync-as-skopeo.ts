import { UsageError } from '../../errors.js';
import type { SyncedImage } from '../../imgtool/index.js';
import type { CommandContext, CommandResult } from '../command.js';
import type { OptionSpec } from '../options/option.js';
import { sideOptions } from '../options/sides.js';
import { withoutEffect } from '../options/peers.js';

/** Options of skopeo-sync(1) that set the types of SRC and DST. */
export const SKOPEO_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'src',
    short: 's',
    value: 'KIND',
    choices: ['docker', 'dir', 'yaml'],
    summary: "SRC as for skopeo sync: a repository, a directory of images (dir:), or skopeo's file",
  },
  {
    name: 'dest',
    short: 'd',
    value: 'KIND',
    choices: ['docker', 'dir'],
    summary: 'DST as for skopeo sync: a registry or path that the last part of the name is put below, or a directory',
  },
  withoutEffect('all', 'whole indexes are copied unless --platform is given', { short: 'a' }),
];

/** Mirrors to or from directories as `--src` and `--dest` request; undefined when both are registries. */
export async function syncDirectories(context: CommandContext): Promise<CommandResult | undefined> {
  const { args, imgtool, options, signal } = context;
  const [src, dest] = [options.text('src'), options.text('dest')];
  if (src !== 'dir' && dest !== 'dir') return undefined;
  const [source, target, ...more] = args;
  if ((src !== 'dir' && src !== 'docker') || dest === undefined || src === dest) {
    throw new UsageError('--src and --dest of directories are docker and dir, or dir and docker', {
      hint: 'for one image: imgtool copy SRC DST',
    });
  }
  if (target === undefined || more.length > 0) throw new UsageError('directories take one SRC and one DST');
  const how = {
    ...sideOptions(options),
    scoped: options.flag('scoped'),
    keepGoing: options.flag('keep-going'),
    dryRun: options.flag('dry-run'),
    signal,
  };
  const images = await (src === 'docker'
    ? imgtool.syncToDirectories(source!, target, how)
    : imgtool.syncFromDirectories(source!, target, how));
  return { json: images, text: images.map(lineOf) };
}

function lineOf({ source, target, digest }: SyncedImage): string {
  return `${digest === undefined ? 'to copy' : 'copied'} ${source} -> ${target}`;
}
