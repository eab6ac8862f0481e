import { UsageError } from '../../errors.js';
import type { FileTree } from '../../rootfs/index.js';

/** As many links as the kernel follows in one path. */
const MAX_LINKS = 40;

/** Text as a path of a tree, a char for each byte. */
export function treePath(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** A path of a tree as text for people. */
export function pathText(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}

/** `path` below `directory`; both without a slash at either end. */
export function below(directory: string, path: string): string {
  return directory === '' ? path : path === '' ? directory : `${directory}/${path}`;
}

/** The directory that a path lies in. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** The last name of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Names of a path, `.` and empty ones left out. */
export function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/**
 * Where a path leads in a tree: without links, slashes at the ends, `.` and `..`; links and `..` stop at the root. Names that do
 * not exist stay as they are. A link as last name is followed unless `keepLast`. Throws UsageError (a circle of links).
 */
export function followPath(
  tree: Pick<FileTree, 'node'>,
  path: string,
  { keepLast = false }: { readonly keepLast?: boolean } = {},
): string {
  const pending = namesOf(path).reverse();
  let at = '';
  for (let links = 0, name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '..') {
      at = parentOf(at);
      continue;
    }
    const next = below(at, name);
    const node = keepLast && pending.length === 0 ? undefined : tree.node(next);
    if (node?.type !== 'symlink') {
      at = next;
      continue;
    }
    if ((links += 1) > MAX_LINKS) throw new UsageError(`/${pathText(next)} leads through more than ${MAX_LINKS} links`);
    const target = node.target ?? '';
    if (target.startsWith('/')) at = '';
    pending.push(...namesOf(target).reverse());
  }
  return at;
}
