import { createHash } from 'node:crypto';
import { inInstruction, instructionError, SyntaxProblem, type ModeChange } from '../../dockerfile/index.js';
import type { FileContent, FileTree, TreeAttributes, TreeNode } from '../../rootfs/index.js';
import { ancestorsOf, walkItem, type SelectedItem, type WalkedEntry } from './select-files.js';
import { below, followPath, nameOf, parentOf, pathText, treePath } from './follow-path.js';
import { addStamp, Slice } from './digest-selection.js';
import type { Owner } from './owner.js';
import type { SelectionRequest, StageTree } from './types.js';

/** Settings for writing items. */
interface WriteOptions {
  readonly instruction: SelectionRequest['instruction'];
  readonly workdir: string;
  /** Of `--chown`. */
  readonly owner: Owner | undefined;
  /** Of `--chmod`. */
  readonly chmod: ModeChange | undefined;
  /** Time of directories without a source, in ns since 1970. */
  readonly createdNs: bigint;
  /** Limit for times of sources, in ns since 1970; undefined: unlimited. */
  readonly latestNs: bigint | undefined;
  readonly signal: AbortSignal;
}

const ROOT: Owner = { uid: 0, gid: 0 };
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

/**
 * Copies items into a stage as BuildKit does. Links in the destination path are followed inside the stage; links met
 * while copying a directory are not. With `--link`, no links are followed, and existing files are replaced. Resolves
 * with the stamps of the files, as `hashItems` returns them. Throws DockerfileError, SyscallError, AbortError.
 */
export async function writeItems(
  stage: StageTree,
  items: readonly SelectedItem[],
  options: WriteOptions,
): Promise<string> {
  const writer = new ItemWriter(stage, options);
  for (const item of items) await writer.write(item);
  return writer.stamps.digest('hex');
}

/** Creates a directory and its parents as WORKDIR does: mode 0755, following links, without changing existing ones. Throws SyntaxProblem. */
export function makeDirectories(
  stage: StageTree,
  path: string,
  { owner, createdNs }: { readonly owner: Owner; readonly createdNs: bigint },
): void {
  const canonical = followPath(stage, treePath(path));
  for (const directory of [...ancestorsOf(canonical), canonical]) {
    if (directory === '') continue;
    const node = stage.node(directory);
    if (node === undefined) {
      stage.makeDirectory(directory, { mode: 0o755, ...owner, mtimeNs: createdNs, xattrs: NO_XATTRS });
    } else if (node.type !== 'directory') {
      throw new SyntaxProblem(`/${pathText(directory)} is a ${node.type} in the stage, and has to be a directory`);
    }
  }
}

class ItemWriter {
  readonly stamps = createHash('sha256');
  readonly #stage: StageTree;
  readonly #options: WriteOptions;
  readonly #destination: string;
  readonly #isDirectory: boolean;
  readonly #slice: Slice;

  constructor(stage: StageTree, options: WriteOptions) {
    this.#stage = stage;
    this.#options = options;
    const { destination } = options.instruction;
    this.#isDirectory = namesDirectory(destination);
    this.#destination = treePath(destination.startsWith('/') ? destination : `${options.workdir}/${destination}`);
    this.#slice = new Slice(options.signal);
  }

  async write(item: SelectedItem): Promise<void> {
    const firsts = new Map<string, string>();
    const isTree = item.node.type === 'directory' || item.withParents || item.isArchive;
    const top = isTree ? this.#treeTop(item) : this.#leafTop();
    // Records where the directories of an archive went, because links of the stage may redirect them.
    const places = new Map<string, string>();
    for (const entry of walkItem(item)) {
      await this.#slice.pause();
      const { relative, node } = entry;
      addStamp(this.stamps, relative, node);
      const parent = parentOf(relative);
      const path = !isTree
        ? top.isDirectory
          ? below(top.path, item.name)
          : top.path
        : below(places.get(parent) ?? below(top.path, parent), nameOf(relative));
      if (node.type !== 'directory') await this.#leaf(item, entry, { path, firsts });
      else if (item.isArchive) places.set(relative, this.#archiveDirectory(item, entry, path));
      else this.#directory(item, entry, path);
    }
  }

  /** As in tar, a directory that is only implied may be a link to one in the stage. */
  #archiveDirectory(item: SelectedItem, entry: WalkedEntry, path: string): string {
    if (entry.node.isImplied !== true) {
      this.#directory(item, entry, path);
      return path;
    }
    const place = this.#in(() => followPath(this.#stage, path));
    this.#makeDirectories(place);
    return place;
  }

  /** The destination directory for the entries of a tree. */
  #treeTop({ name, isArchive }: SelectedItem): { readonly path: string; readonly isDirectory: true } {
    const path = this.#resolve(this.#destination);
    const node = this.#stage.node(path);
    if (node !== undefined && node.type !== 'directory' && !this.#options.instruction.link) {
      const what = isArchive
        ? 'an archive is unpacked into directories'
        : `${pathText(name) || 'the source'} is a directory`;
      throw this.#itemError(`/${pathText(path)} is a ${node.type} in the stage, and ${what}`);
    }
    this.#makeDirectories(path);
    return { path, isDirectory: true };
  }

  /** The destination of a single file. */
  #leafTop(): { readonly path: string; readonly isDirectory: boolean } {
    if (this.#isDirectory) {
      const path = this.#resolve(this.#destination);
      this.#makeDirectories(path);
      return { path, isDirectory: true };
    }
    const path = this.#resolve(this.#destination);
    if (this.#stage.node(path)?.type === 'directory') return { path, isDirectory: true };
    this.#makeDirectories(parentOf(path));
    return { path, isDirectory: false };
  }

  #resolve(path: string): string {
    if (!this.#options.instruction.link) return this.#in(() => followPath(this.#stage, path));
    return followPath({ node: () => undefined }, path);
  }

  #makeDirectories(path: string): void {
    if (this.#options.instruction.link) this.#clearWay(path);
    const { owner = ROOT, createdNs } = this.#options;
    this.#in(() => makeDirectories(this.#stage, pathText(path), { owner, createdNs }));
  }

  /** `--link`: removes a non-directory where a directory is needed. */
  #clearWay(path: string): void {
    const blocking = [...ancestorsOf(path), path].find((directory) => {
      const node = directory === '' ? undefined : this.#stage.node(directory);
      return node !== undefined && node.type !== 'directory';
    });
    if (blocking !== undefined) this.#stage.remove(blocking);
  }

  #directory(item: SelectedItem, { node }: WalkedEntry, path: string): void {
    const stage = this.#stage;
    const before = stage.node(path);
    if (before?.type === 'directory') {
      // With --parents, only new directories get their source's attributes.
      if (!item.withParents) stage.setDirectory(path, this.#attributes(item, node));
      return;
    }
    if (before !== undefined) {
      if (!this.#replaces(item)) {
        throw this.#itemError(`/${pathText(path)} is a ${before.type} in the stage, and a directory in the source`);
      }
      stage.remove(path);
    }
    stage.makeDirectory(path, this.#attributes(item, node));
  }

  async #leaf(
    item: SelectedItem,
    entry: WalkedEntry,
    { path, firsts }: { readonly path: string; readonly firsts: Map<string, string> },
  ): Promise<void> {
    const stage = this.#stage;
    const { node } = entry;
    if (stage.node(path)?.type === 'directory') {
      if (!this.#replaces(item)) {
        throw this.#itemError(`/${pathText(path)} is a directory in the stage, and a ${node.type} in the source`);
      }
      stage.remove(path);
    }
    const first = node.linkKey === undefined ? undefined : firsts.get(node.linkKey);
    if (first !== undefined) {
      stage.link(path, first);
      return;
    }
    if (node.linkKey !== undefined) firsts.set(node.linkKey, path);
    const attributes = this.#attributes(item, node);
    if (node.type === 'file') await stage.putFile(path, attributes, contentOf(item.tree, entry));
    else if (node.type === 'socket') await stage.putFile(path, attributes, NOTHING);
    else stage.putSpecial(path, { ...node, ...attributes });
  }

  #replaces({ isArchive }: SelectedItem): boolean {
    return isArchive || this.#options.instruction.link;
  }

  #attributes({ keepsOwners, isArchive }: SelectedItem, node: TreeNode): TreeAttributes {
    const { owner, chmod, latestNs } = this.#options;
    const { mode, xattrs } = node;
    const mtimeNs = latestNs !== undefined && node.mtimeNs > latestNs ? latestNs : node.mtimeNs;
    const { uid, gid } = owner ?? (keepsOwners ? node : ROOT);
    const changes = chmod !== undefined && !isArchive && node.type !== 'symlink';
    return { mode: changes ? chmod(mode, node.type === 'directory') : mode, uid, gid, mtimeNs, xattrs };
  }

  #in<T>(body: () => T): T {
    return inInstruction(this.#options.instruction, body);
  }

  #itemError(message: string): Error {
    return instructionError(this.#options.instruction, message);
  }
}

const NOTHING: FileContent = {
  size: 0,
  open: () => Promise.resolve({ fd: -1, offset: 0, size: 0, regions: [], close: () => undefined }),
};

function contentOf(tree: FileTree, { path, node }: WalkedEntry): FileContent {
  return { size: node.size, hash: node.contentHash, open: () => tree.open(path, node) };
}

/** Reports whether a destination is written as a directory: `/a/`, `.` or empty. */
export function namesDirectory(destination: string): boolean {
  return destination === '' || destination === '.' || destination.endsWith('/');
}
