import { IgnorePatterns, instructionError, isGlob, matchGlob, type CopyInstruction } from '../../dockerfile/index.js';
import type { FileTree, TreeNode } from '../../rootfs/index.js';
import { below, followPath, nameOf, namesOf, parentOf, pathText, treePath } from './follow-path.js';
import { FilteredTree, Subtree } from './tree-views.js';
import type { SelectionRequest } from './types.js';

/** A file or directory that a source of COPY or ADD matches. */
export interface SelectedItem {
  /** Without files excluded by `--exclude`. */
  readonly tree: FileTree;
  /** Its path in `tree`. If it is a directory, its entries are copied, otherwise the item itself. */
  readonly path: string;
  readonly node: TreeNode;
  /** Its name inside a destination directory. */
  readonly name: string;
  /** `--parents`: copied to `path` below the destination, with its parent directories. */
  readonly withParents: boolean;
  /** True if files keep their owner without `--chown`. */
  readonly keepsOwners: boolean;
  /** True for an archive to unpack, which replaces existing files and keeps its modes. */
  readonly isArchive: boolean;
}

type Instruction = SelectionRequest['instruction'];

/**
 * The matches of an instruction's sources in a tree, in the order of the sources; matches of a glob are sorted. A glob
 * may match nothing. Throws DockerfileError (a missing source), SyntaxProblem (an invalid pattern).
 */
export function selectFiles(
  tree: FileTree,
  sources: readonly string[],
  {
    instruction,
    keepsOwners,
    from,
  }: {
    readonly instruction: Instruction;
    readonly keepsOwners: boolean;
    /** Name of the tree, for messages. */
    readonly from: string;
  },
): SelectedItem[] {
  const excludes = IgnorePatterns.of(instruction.excludes);
  const without = (all: FileTree): FileTree => (excludes.isEmpty ? all : new FilteredTree(all, excludes));
  const common = { keepsOwners, isArchive: false };
  return sources.flatMap((source): SelectedItem[] => {
    if ((instruction as Partial<CopyInstruction>).parents === true) {
      const [base, pattern] = splitAtPivot(source);
      const top = followPath(tree, treePath(base));
      const whole = without(new Subtree(tree, top));
      const found = matches(whole, pattern, { followsFirst: false });
      if (found.length === 0 && !isGlob(pattern)) throw missingError(instruction, source, from);
      return found.map(({ path, node }) => ({
        tree: whole,
        path,
        node,
        name: nameOf(path),
        withParents: true,
        ...common,
      }));
    }
    const found = matches(tree, source, { followsFirst: true });
    if (found.length === 0 && !isGlob(source)) throw missingError(instruction, source, from);
    return found.flatMap(({ path: given }): SelectedItem[] => {
      const path = followPath(tree, given);
      const node = tree.node(path);
      if (node === undefined) throw missingError(instruction, pathText(given), from);
      const name = nameOf(given);
      if (node.type === 'directory')
        return [{ tree: without(new Subtree(tree, path)), path: '', node, name, withParents: false, ...common }];
      const isLeftOut = [pathText(name), pathText(given)].some((text) => excludes.isExcluded(text));
      return isLeftOut ? [] : [{ tree, path, node, name, withParents: false, ...common }];
    });
  });
}

/** Splits `a/b/./c` of `--parents` into the part dropped from the destination and the part kept. */
function splitAtPivot(source: string): [base: string, rest: string] {
  const at = source.indexOf('/./');
  return at < 0 ? ['', source] : [source.slice(0, at), source.slice(at + 3)];
}

interface Match {
  readonly path: string;
  readonly node: TreeNode;
}

/** The matches of a path or glob. Follows links before the first glob if `followsFirst`, none after it. */
function matches(tree: FileTree, source: string, { followsFirst }: { readonly followsFirst: boolean }): Match[] {
  const names = clipped(source);
  const firstGlob = names.findIndex((name) => isGlob(name));
  const plain = firstGlob < 0 ? names : names.slice(0, firstGlob);
  const start = treePath(plain.join('/'));
  const path = followsFirst ? followPath(tree, start, { keepLast: firstGlob < 0 }) : start;
  const node = tree.node(path);
  if (node === undefined) return [];
  let found: Match[] = [{ path, node }];
  for (const pattern of firstGlob < 0 ? [] : names.slice(firstGlob)) {
    matchGlob(pattern, '');
    found = found.flatMap((directory) => children(tree, directory, pattern));
  }
  return found;
}

function children(tree: FileTree, { path, node }: Match, pattern: string): Match[] {
  if (node.type !== 'directory') return [];
  const names = isGlob(pattern)
    ? tree.names(path).filter((name) => matchGlob(pattern, pathText(name)))
    : [treePath(pattern)];
  return names.flatMap((name) => {
    const child = below(path, name);
    const found = tree.node(child);
    return found === undefined ? [] : [{ path: child, node: found }];
  });
}

/** Splits a source into names; `..` stops at the root. */
function clipped(source: string): string[] {
  const names: string[] = [];
  for (const name of namesOf(source)) {
    if (name === '..') names.pop();
    else names.push(name);
  }
  return names;
}

function missingError(instruction: Instruction, source: string, from: string): Error {
  const isMain = (instruction as Partial<CopyInstruction>).from === undefined;
  const hint = isMain ? 'sources lie below the context, and an ignore file may leave them out' : undefined;
  return instructionError(instruction, `${source} is not in ${from}`, hint);
}

/** One entry below an item. */
export interface WalkedEntry {
  /** Path in the item's tree. */
  readonly path: string;
  /** Path below the destination. */
  readonly relative: string;
  readonly node: TreeNode;
}

/**
 * The entries to copy for an item, directories before their entries, names sorted bytewise. For a directory, only its
 * contents; with `--parents`, its parent directories first.
 */
export function* walkItem(item: SelectedItem): Generator<WalkedEntry> {
  const { tree, path, node, name, withParents } = item;
  if (withParents) {
    for (const parent of ancestorsOf(path)) yield { path: parent, relative: parent, node: tree.node(parent)! };
    if (path !== '') yield { path, relative: path, node };
    if (node.type === 'directory') yield* walk(tree, path, path);
  } else if (node.type === 'directory') yield* walk(tree, path, '');
  else yield { path, relative: name, node };
}

function* walk(tree: FileTree, path: string, relative: string): Generator<WalkedEntry> {
  for (const name of tree.names(path)) {
    const entry = { path: below(path, name), relative: below(relative, name) };
    const node = tree.node(entry.path);
    if (node === undefined) continue;
    yield { ...entry, node };
    if (node.type === 'directory') yield* walk(tree, entry.path, entry.relative);
  }
}

/** The parent directories of a path, outermost first, without the root. */
export function ancestorsOf(path: string): string[] {
  const parent = parentOf(path);
  return parent === '' ? [] : [...ancestorsOf(parent), parent];
}
