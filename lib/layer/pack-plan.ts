import { LayerFormatError } from '../errors.js';
import { displayPath, type FileStat } from '../sys/index.js';
import { WHITEOUT_PREFIX } from './whiteout.js';

/** One path that differs from the layer below, with the parts of a diff that packing needs. */
export interface LayerChange {
  /** Added, changed or deleted. A deleted directory has one entry, for itself. */
  readonly kind: 'A' | 'C' | 'D';
  /** Path as bytes, relative to the root; empty for the root itself. A leading slash or `./` is ignored. */
  readonly path: Buffer;
}

/** One member to write, in layer order. */
export interface PlannedEntry {
  readonly action: 'whiteout' | 'entry';
  /** Path of its directory, without leading and trailing slash; empty for the root. */
  readonly parent: Buffer;
  /** Empty for the root itself. */
  readonly name: Buffer;
  /** False for a directory that is included only because something below it changed. */
  readonly changed: boolean;
  /** Its status, if known already. */
  readonly stat?: FileStat;
}

interface Node {
  kind: 'A' | 'C' | 'D' | undefined;
  children: Map<string, Node> | undefined;
}

/**
 * Sorts changes for a layer: by path, directories before their children, deletions first in their directory, with the
 * parents of every change. Throws LayerFormatError that lists all paths that would be read as whiteouts.
 */
export function planLayer(changes: Iterable<LayerChange>): PlannedEntry[] {
  const root: Node = { kind: undefined, children: undefined };
  const reserved: Buffer[] = [];
  for (const change of changes) {
    // latin1 keeps one char per byte, so comparing names compares bytes.
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
    `names that begin with ${WHITEOUT_PREFIX} cannot be stored in a layer: ${shown.join(', ')}${more}`,
    {
      entry: shown[0],
      hint: 'rename or remove them and try again',
    },
  );
}

/** The path of an entry from the root; `.` for the root itself. */
export function joinPath(parent: Buffer, name: Buffer): Buffer {
  if (name.length === 0) return Buffer.from('.');
  return parent.length === 0 ? name : Buffer.concat([parent, Buffer.from('/'), name]);
}
