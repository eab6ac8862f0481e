import { createHash, type Hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ModeChange } from '../../dockerfile/index.js';
import type { FileTree, TreeNode } from '../../rootfs/index.js';
import type { ContentHashes } from './content-hashes.js';
import { contentPieces } from './read-content.js';
import { walkItem, type SelectedItem } from './select-files.js';

/** Longest time in ms that hashing blocks this thread. */
const SLICE_MS = 15;

/** Settings for hashing a selection. */
interface DigestOptions {
  readonly hashes: ContentHashes;
  /** Of `--chmod`. */
  readonly chmod: ModeChange | undefined;
  /** True if `--chown` sets the owners of all files. */
  readonly isOwned: boolean;
  readonly signal: AbortSignal;
}

/**
 * Adds everything that determines the written files to `hash`: names, types, modes, owners, link targets, attributes and
 * contents, but no times. Memory is constant except for the keys of hard-linked files. Throws SyscallError, AbortError.
 */
export async function hashItems(
  hash: Hash,
  items: readonly SelectedItem[],
  options: DigestOptions,
): Promise<{ readonly entries: number; readonly stamps: string }> {
  const slice = new Slice(options.signal);
  const stamps = createHash('sha256');
  let entries = 0;
  for (const item of items) {
    addFields(hash, 'item', item.name, item.node.type, item.isArchive, item.withParents);
    const firsts = new Map<string, string>();
    for (const { path, relative, node } of walkItem(item)) {
      entries += 1;
      addStamp(stamps, relative, node);
      await slice.pause();
      const { linkKey } = node;
      const first = linkKey === undefined ? undefined : firsts.get(linkKey);
      if (linkKey !== undefined && first === undefined) firsts.set(linkKey, relative);
      addFields(hash, 'entry', relative, node.type, modeOf(node, item, options), ownerOf(node, item, options));
      addFields(hash, node.target ?? '', node.device?.major ?? 0, node.device?.minor ?? 0, first ?? '');
      for (const [name, value] of node.xattrs) addFields(hash, name, value.toString('latin1'));
      if (node.type === 'file' && first === undefined) {
        addFields(
          hash,
          'content',
          node.size,
          await contentHash(item.tree, path, { node, hashes: options.hashes, slice }),
        );
      }
    }
  }
  return { entries, stamps: stamps.digest('hex') };
}

/** Prefixes each field with its length, so that the encoding is unambiguous. */
export function addFields(hash: Hash, ...fields: readonly (string | number | boolean)[]): void {
  for (const field of fields) {
    const text = String(field);
    hash.update(`${Buffer.byteLength(text)}:${text}`);
  }
}

/** Adds the stamp with which a later change of the file is detected. */
export function addStamp(hash: Hash, relative: string, { type, stamp, contentHash }: TreeNode): void {
  addFields(hash, relative, type, contentHash ?? '');
  if (stamp === undefined) return;
  const { device, inode, size, mtimeNs, ctimeNs } = stamp;
  addFields(hash, ...[device, inode, size, mtimeNs, ctimeNs].map(String));
}

function modeOf(node: TreeNode, { isArchive }: SelectedItem, { chmod }: DigestOptions): number {
  if (node.type === 'symlink') return 0;
  return chmod === undefined || isArchive ? node.mode : chmod(node.mode, node.type === 'directory');
}

function ownerOf({ uid, gid }: TreeNode, { keepsOwners }: SelectedItem, { isOwned }: DigestOptions): string {
  return isOwned ? 'chown' : keepsOwners ? `${uid}:${gid}` : '0:0';
}

/** Hexadecimal SHA-256 of a file's content; reads it only if the hash is unknown. */
export async function contentHash(
  tree: FileTree,
  path: string,
  { node, hashes, slice }: { readonly node: TreeNode; readonly hashes: ContentHashes; readonly slice: Slice },
): Promise<string> {
  const known = node.contentHash ?? (node.stamp === undefined ? undefined : hashes.find(node.stamp));
  if (known !== undefined) return known;
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  const hash = createHash('sha256');
  const content = await tree.open(path, node);
  try {
    for (const piece of contentPieces(content)) {
      // A hole may be huge, so only its length is hashed.
      if ('bytes' in piece) hash.update(piece.bytes);
      else addFields(hash, 'zeros', piece.zeros);
      await slice.pause();
    }
    content.check?.();
  } finally {
    content.close();
  }
  const found = hash.digest('hex');
  if (node.stamp !== undefined) hashes.add(node.stamp, found, nowNs);
  return found;
}

/** Yields to other work of this thread every few milliseconds. */
export class Slice {
  readonly #signal: AbortSignal;
  #until = performance.now() + SLICE_MS;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Throws AbortError. */
  async pause(): Promise<void> {
    if (performance.now() < this.#until) return;
    await nextTurn();
    this.#signal.throwIfAborted();
    this.#until = performance.now() + SLICE_MS;
  }
}
