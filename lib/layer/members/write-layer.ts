import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FileTree } from '../../rootfs/index.js';
import { digestFrom, type DiffId } from '../../spec/index.js';
import { compress } from '../compress.js';
import type { PackedLayer, PackInput } from '../pack.js';
import { MemberPacker, type PlannedMember } from './member-packer.js';

/** How to write a layer of members. */
export type MembersOutput = Pick<PackInput, 'compression' | 'level' | 'sourceDateEpoch' | 'signal'> & {
  /** Receives the blob. Ended on success, destroyed with the error on failure. */
  readonly output: Writable;
};

/** Writes planned members as a layer. Throws LayerFormatError, AbortError and the errors of opening files. */
export async function writeLayer(
  plan: AsyncGenerator<PlannedMember>,
  { output, ...options }: MembersOutput,
): Promise<PackedLayer> {
  const packer = new MemberPacker(options);
  try {
    const blob = compress(packer.run(plan), { ...options, pool: packer.blocks.pool });
    await pipeline(blob, output, { signal: options.signal });
    packer.blocks.close();
  } catch (error) {
    if (!output.destroyed) output.destroy(error as Error);
    throw error;
  }
  const { blocks, entries } = packer;
  return { diffId: digestFrom(blocks.hash) as DiffId, tarSize: blocks.size, entries, notes: [] };
}

/**
 * Writes a whole tree as one layer. The bytes equal those of `packLayer` for the same tree in a directory. Memory grows with
 * the depth and with the number of hard links. Throws as `writeLayer`.
 */
export function packFileTree(tree: FileTree, output: MembersOutput): Promise<PackedLayer> {
  return writeLayer(planned(tree, '', output.signal), output);
}

async function* planned(tree: FileTree, path: string, signal: AbortSignal): AsyncGenerator<PlannedMember> {
  signal.throwIfAborted();
  const node = tree.node(path);
  if (node === undefined) return;
  const content = node.type === 'file' ? { size: node.size, open: () => tree.open(path, node) } : undefined;
  yield { kind: 'entry', path, node, content, changed: true };
  if (node.type !== 'directory') return;
  for (const name of tree.names(path)) yield* planned(tree, path === '' ? name : `${path}/${name}`, signal);
}
