import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import type { FileContent, FileTree, OpenContent, TreeAttributes, TreeNode, WritableTree } from '../../rootfs/index.js';
import type { PackedLayer } from '../pack.js';
import type { PlannedMember } from './member-packer.js';
import { writeLayer, type MembersOutput } from './write-layer.js';

/** Builds a layer from files instead of a directory: changes to a file tree that need not be unpacked. */
export interface LayerBuilder extends FileTree, WritableTree {
  /** True when nothing differs from the base. */
  isEmpty(): Promise<boolean>;
  /**
   * Writes the changes as a layer. The bytes equal those of `packLayer` after the same changes in a directory. Throws
   * LayerFormatError (a file that a tar cannot contain, or one that changed while it was read), AbortError and the
   * errors of opening files.
   */
  pack(options: MembersOutput): Promise<PackedLayer>;
}

/**
 * Starts a layer on the tree `base`, or a first layer (including the root directory) when undefined. Reads the content
 * of a file when it is compared or packed. A file with several names counts as changed even if the base has the same
 * file.
 */
export function createLayerBuilder(base: FileTree | undefined): LayerBuilder {
  return new TreeLayerBuilder(base);
}

interface Place {
  /** The file written at this path. */
  written?: { readonly node: TreeNode; readonly content?: FileContent; readonly mustDiffer: boolean };
  /** The base's file at this path was removed. */
  isCleared?: boolean;
  children?: Map<string, Place>;
}

const ROOT: TreeNode = {
  ...{ type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n },
  xattrs: new Map(),
};
const BLOCK = 256 * 1024;

class TreeLayerBuilder implements LayerBuilder {
  readonly #base: FileTree | undefined;
  readonly #top: Place = {};

  constructor(base: FileTree | undefined) {
    this.#base = base;
    if (base === undefined) this.#put('', ROOT);
  }

  node(path: string): TreeNode | undefined {
    const { place, isCleared } = this.#find(path);
    if (place?.written !== undefined) return place.written.node;
    return isCleared ? undefined : this.#baseNode(path);
  }

  names(path: string): readonly string[] {
    const { place, isCleared } = this.#find(path);
    const names = new Set(isCleared || this.#base === undefined ? [] : this.#base.names(path));
    for (const [name, child] of place?.children ?? []) {
      if (child.written !== undefined) names.add(name);
      else if (child.isCleared === true) names.delete(name);
    }
    return [...names].sort();
  }

  open(path: string, node: TreeNode): Promise<OpenContent> {
    const written = this.#find(path).place?.written;
    if (written?.content !== undefined) return written.content.open();
    return this.#base!.open(path, node);
  }

  makeDirectory(path: string, attributes: TreeAttributes): void {
    this.#put(path, { ...attributes, type: 'directory', size: 0 });
  }

  setDirectory(path: string, attributes: TreeAttributes): void {
    this.#put(path, { ...attributes, type: 'directory', size: 0 });
  }

  putFile(path: string, attributes: TreeAttributes, content: FileContent): Promise<void> {
    const { size, hash } = content;
    this.#put(
      path,
      { ...attributes, type: 'file', size, ...(hash === undefined ? {} : { contentHash: hash }) },
      content,
    );
    return Promise.resolve();
  }

  putSpecial(path: string, node: TreeNode): void {
    this.#put(path, node);
  }

  link(path: string, first: string): void {
    const place = this.#place(first);
    const { written } = place;
    if (written === undefined) throw new LayerFormatError(`/${first} was not written to this layer`, { entry: first });
    const node = { ...written.node, linkKey: `built:${first}` };
    // A file with several names always counts as different from the base.
    place.written = { ...written, node, mustDiffer: true };
    this.#put(path, node, written.content, true);
  }

  remove(path: string): void {
    const place = this.#place(path);
    place.isCleared = true;
    delete place.written;
    delete place.children;
  }

  async isEmpty(): Promise<boolean> {
    const entries = this.#plan(new AbortController().signal);
    return (await entries.next()).done === true;
  }

  pack(options: MembersOutput): Promise<PackedLayer> {
    return writeLayer(this.#plan(options.signal), options);
  }

  #baseNode(path: string): TreeNode | undefined {
    return this.#base?.node(path);
  }

  #find(path: string): { readonly place: Place | undefined; readonly isCleared: boolean } {
    let place: Place | undefined = this.#top;
    let isCleared = false;
    for (const name of path === '' ? [] : path.split('/')) {
      place = place?.children?.get(name);
      isCleared ||= place?.isCleared === true;
    }
    return { place, isCleared };
  }

  #place(path: string): Place {
    let place = this.#top;
    for (const name of path === '' ? [] : path.split('/')) {
      place.children ??= new Map();
      let next = place.children.get(name);
      if (next === undefined) place.children.set(name, (next = {}));
      place = next;
    }
    return place;
  }

  #put(path: string, node: TreeNode, content?: FileContent, mustDiffer = false): void {
    this.#place(path).written = { node, mustDiffer, ...(content === undefined ? {} : { content }) };
  }

  #plan(signal: AbortSignal): AsyncGenerator<PlannedMember> {
    return this.#planAt('', { place: this.#top, isCleared: false, signal });
  }

  /** The differences at and below a path, with their parent directories, in layer order. */
  async *#planAt(
    path: string,
    { place, isCleared, signal }: { readonly place: Place; readonly isCleared: boolean; readonly signal: AbortSignal },
  ): AsyncGenerator<PlannedMember> {
    signal.throwIfAborted();
    const hidden = isCleared || place.isCleared === true;
    const before = isCleared ? undefined : this.#baseNode(path);
    const { written } = place;
    const now = written?.node ?? (hidden ? undefined : before);
    if (now === undefined) return;
    const changed =
      written !== undefined && (written.mustDiffer || hidden || !(await this.#isSame(path, { before, written })));
    const self: PlannedMember = { kind: 'entry', path, node: now, content: written?.content, changed };
    let isGiven = false;
    if (changed) {
      const type = before?.type;
      if (type !== undefined && type !== now.type && (type === 'directory' || now.type === 'directory')) {
        yield { kind: 'whiteout', path };
      }
      yield self;
      isGiven = true;
    }
    const children = [...(place.children ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    const gone = children
      .filter(([name, child]) => this.#isGone(join(path, name), child, hidden))
      .map(([name]) => name);
    for await (const planned of this.#childrenOf(path, { children, gone, hidden, signal })) {
      if (!isGiven && path !== '') yield self;
      isGiven = true;
      yield planned;
    }
  }

  async *#childrenOf(
    path: string,
    {
      children,
      gone,
      hidden,
      signal,
    }: {
      readonly children: readonly (readonly [string, Place])[];
      readonly gone: readonly string[];
      readonly hidden: boolean;
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<PlannedMember> {
    for (const name of gone) yield { kind: 'whiteout', path: join(path, name) };
    for (const [name, place] of children) yield* this.#planAt(join(path, name), { place, isCleared: hidden, signal });
  }

  #isGone(path: string, { isCleared, written }: Place, hidden: boolean): boolean {
    return isCleared === true && written === undefined && !hidden && this.#baseNode(path) !== undefined;
  }

  async #isSame(
    path: string,
    { before, written }: { readonly before: TreeNode | undefined; readonly written: NonNullable<Place['written']> },
  ): Promise<boolean> {
    const { node, content } = written;
    if (before === undefined || !hasSameAttributes(before, node)) return false;
    if (node.type !== 'file') return true;
    if (before.linkKey !== undefined || before.size !== node.size || content === undefined) return false;
    const old = before.contentHash ?? hashOf(await this.#base!.open(path, before));
    return old === (content.hash ?? hashOf(await content.open()));
  }
}

function hasSameAttributes(a: TreeNode, b: TreeNode): boolean {
  const keys = ['type', 'mode', 'uid', 'gid', 'mtimeNs', 'target'] as const;
  if (keys.some((key) => (key === 'mode' && a.type === 'symlink' ? false : a[key] !== b[key]))) return false;
  if (a.device?.major !== b.device?.major || a.device?.minor !== b.device?.minor) return false;
  return a.xattrs.size === b.xattrs.size && [...a.xattrs].every(([name, value]) => b.xattrs.get(name)?.equals(value));
}

function hashOf(content: OpenContent): string {
  const hash = createHash('sha256');
  const block = Buffer.allocUnsafe(BLOCK);
  try {
    const { fd, offset, size, regions } = content;
    // Never equals the hash of a file without holes, so the file counts as changed.
    if (regions !== undefined) return 'sparse';
    for (let done = 0; done < size;) {
      const length = readSync(fd, block, 0, Math.min(BLOCK, size - done), offset + done);
      if (length === 0) break;
      hash.update(block.subarray(0, length));
      done += length;
    }
    return hash.digest('hex');
  } finally {
    content.close();
  }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}
