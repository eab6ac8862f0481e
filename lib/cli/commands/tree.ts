import { formatSize } from '../../util/index.js';
import type { CommandContext, CommandResult, CommandTable } from '../command.js';
import { shortDigest } from '../short-digest.js';
import { PLATFORM } from '../options/platform.js';
import { shortName } from './images.js';

export const tree: CommandTable = {
  group: 'Images',
  summary: 'show the layers of an image and which images share them',
  description: 'docker://REF reads from the registry and pulls nothing; sizes are then those of the compressed layers.',
  arguments: [{ name: 'IMAGE', summary: 'name, ID or unique ID prefix, or docker://REF', completes: 'image' }],
  options: [PLATFORM],
  examples: [{ command: 'imgtool tree alpine', does: 'show the layers, oldest first' }],
  run: (context) => (/^docker(-v1)?:\/\//.test(context.args[0]!) ? remoteTree(context) : localTree(context)),
};

async function localTree({ args, imgtool }: CommandContext): Promise<CommandResult> {
  const image = await imgtool.tree(args[0]!);
  const title = image.names.length === 0 ? '<none>' : image.names.map(shortName).join(', ');
  const lines = image.layers.map((layer) => {
    const shared = layer.sharedWith.length === 0 ? '' : `  shared with ${layer.sharedWith.join(', ')}`;
    const used = layer.containers.length === 0 ? '' : `  used by ${layer.containers.join(', ')}`;
    return `${layerLine(layer.chainId, layer.size)}  ${layer.entries} entries${shared}${used}`;
  });
  const sizes = `${formatSize(image.size)} (${formatSize(image.exclusiveSize)} exclusive)`;
  return { json: image, text: [`${title}  ${shortDigest(image.id)}  ${sizes}`, ...withBranches(lines)] };
}

async function remoteTree({ args, imgtool, options, signal }: CommandContext): Promise<CommandResult> {
  const { image } = await imgtool.inspect(args[0]!, { type: 'image', platform: options.text('platform'), signal });
  const { id, names, digest, size, layers } = image;
  const lines = layers.map((layer) => layerLine(layer.digest ?? layer.v1Id ?? '', layer.size));
  const title = `${names[0] ?? args[0]!}  ${shortDigest(id ?? digest ?? '')}  ${formatSize(size)} compressed`;
  return { json: { id, names, digest, size, layers }, text: [title, ...withBranches(lines)] };
}

function layerLine(id: string, size: number): string {
  return `${shortDigest(id)}  ${formatSize(size).padStart(6)}`;
}

function withBranches(lines: readonly string[]): string[] {
  return lines.map((line, index) => `${index === lines.length - 1 ? '└─' : '├─'} ${line}`);
}
