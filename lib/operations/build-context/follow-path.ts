import { UsageError } from '../../errors.js';
import type { FileTree } from '../../rootfs/index.js';

/** The kernel's limit of links in one path. */
const MAX_LINKS = 40;

/** Encodes text as a tree path, with one char per byte. */
export function treePath(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Decodes a tree path for messages. */
export function pathText(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}

/** Joins `path` to `directory`; both without a slash at either end. */
export function below(directory: string, path: string): string {
  return directory === '' ? path : path === '' ? directory : `${directory}/${path}`;
}

/** The directory part of a path. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** The last name of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Splits a path into names, without `.` and empty ones. */
export function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/**
 * Resolves a path in a tree: the result has no links, outer slashes, `.` or `..`; links and `..` stop at the root.
 * Missing names are kept. Follows a link as last name unless `keepLast`. Throws UsageError (a loop of links).
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
