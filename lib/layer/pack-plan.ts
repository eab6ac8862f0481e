import { LayerFormatError } from '../errors.js';
import { displayPath, type FileStat } from '../sys/index.js';
import { WHITEOUT_PREFIX } from './whiteout.js';

/** One path that differs from the layer below; the part of a diff that packing needs. */
export interface LayerChange {
  /** Added, changed or deleted; a deletion names the top of the deleted tree only. */
  readonly kind: 'A' | 'C' | 'D';
  /** Relative to the root, bytes; empty for the root itself. A leading slash or `./` is ignored. */
  readonly path: Buffer;
}

/** One thing to write, in the order of the layer. */
export interface PlannedEntry {
  readonly action: 'whiteout' | 'entry';
  /** Path of the directory it lies in, empty for the root; without slashes at either end. */
  readonly parent: Buffer;
  /** Empty for the root itself. */
  readonly name: Buffer;
  /** False for a directory that is only here because something below it changed. */
  readonly changed: boolean;
  /** What lies there, when it was looked at already. */
  readonly stat?: FileStat;
}

interface Node {
  kind: 'A' | 'C' | 'D' | undefined;
  children: Map<string, Node> | undefined;
}

/**
 * Orders changes for a layer: by path, directories before their children, deletions first in their directory, parents of
 * every change included. Throws LayerFormatError naming all paths that would read as whiteouts.
 */
export function planLayer(changes: Iterable<LayerChange>): PlannedEntry[] {
  const root: Node = { kind: undefined, children: undefined };
  const reserved: Buffer[] = [];
  for (const change of changes) {
    // Names are kept as latin1 so that one char is one byte: comparing them compares bytes.
    const names = change.path
      .toString('latin1')
      .split('/')
      .filter((name) => name !== '' && name !== '.');
    let node = root;
    for (const name of names) {
      node.children ??= new Map();
      let next = node.children.get(name);
      if (next === undefined) node.children.set(name, (next = { kind: undefined, children: undefined }));
      node = next;
    }
    node.kind = change.kind;
    if (names.some((name) => name.startsWith(WHITEOUT_PREFIX))) reserved.push(change.path);
  }
  if (reserved.length > 0) throw reservedNamesError(reserved);
  const plan: PlannedEntry[] = [];
  if (root.kind !== undefined)
    plan.push({ action: 'entry', parent: Buffer.alloc(0), name: Buffer.alloc(0), changed: true });
  addChildren(plan, root, '');
  return plan;
}

function addChildren(plan: PlannedEntry[], node: Node, path: string): void {
  const parent = Buffer.from(path, 'latin1');
  const children = [...(node.children ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  const entry = (action: 'whiteout' | 'entry', name: string, changed: boolean): PlannedEntry => ({
    action,
    parent,
    name: Buffer.from(name, 'latin1'),
    changed,
  });
  for (const [name, child] of children) if (child.kind === 'D') plan.push(entry('whiteout', name, true));
  for (const [name, child] of children) {
    if (child.kind === 'D') continue;
    plan.push(entry('entry', name, child.kind !== undefined));
    addChildren(plan, child, path === '' ? name : `${path}/${name}`);
  }
}

function reservedNamesError(paths: readonly Buffer[]): LayerFormatError {
  const shown = paths.slice(0, 10).map((path) => displayPath(path));
  const more = paths.length > shown.length ? ` and ${paths.length - shown.length} more` : '';
  return new LayerFormatError(
    `names that begin with ${WHITEOUT_PREFIX} have no form in a layer: ${shown.join(', ')}${more}`,
    {
      entry: shown[0],
      hint: 'rename or remove them and try again',
    },
  );
}

/** Path of an entry from the root; the root itself is `.`. */
export function joinPath(parent: Buffer, name: Buffer): Buffer {
  if (name.length === 0) return Buffer.from('.');
  return parent.length === 0 ? name : Buffer.concat([parent, Buffer.from('/'), name]);
}
