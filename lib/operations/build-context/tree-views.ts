import type { IgnorePatterns } from '../../dockerfile/index.js';
import type { FileTree, OpenContent, TreeNode } from '../../rootfs/index.js';
import { below, pathText } from './follow-path.js';

/** A tree without ignored files. An ignored directory still appears if something below it is not ignored. */
export class FilteredTree implements FileTree {
  readonly #tree: FileTree;
  readonly #patterns: IgnorePatterns;

  constructor(tree: FileTree, patterns: IgnorePatterns) {
    this.#tree = tree;
    this.#patterns = patterns;
  }

  node(path: string): TreeNode | undefined {
    const node = this.#tree.node(path);
    if (node === undefined || path === '') return node;
    return this.#isVisible(path, node) ? node : undefined;
  }

  names(path: string): readonly string[] {
    return this.#tree.names(path).filter((name) => {
      const child = below(path, name);
      if (!this.#patterns.isExcluded(pathText(child))) return true;
      return this.#mayHoldKept(child) && this.node(child) !== undefined;
    });
  }

  open(path: string, node: TreeNode): Promise<OpenContent> {
    return this.#tree.open(path, node);
  }

  #isVisible(path: string, node: TreeNode): boolean {
    if (!this.#patterns.isExcluded(pathText(path))) return true;
    return node.type === 'directory' && this.#mayHoldKept(path) && this.names(path).length > 0;
  }

  #mayHoldKept(path: string): boolean {
    return !this.#patterns.canSkip(pathText(path));
  }
}
/** A subdirectory as a tree. */
export class Subtree implements FileTree {
  readonly #tree: FileTree;
  readonly #top: string;

  constructor(tree: FileTree, top: string) {
    this.#tree = tree;
    this.#top = top;
  }

  node(path: string): TreeNode | undefined {
    return this.#tree.node(below(this.#top, path));
  }

  names(path: string): readonly string[] {
    return this.#tree.names(below(this.#top, path));
  }

  open(path: string, node: TreeNode): Promise<OpenContent> {
    return this.#tree.open(below(this.#top, path), node);
  }
}
