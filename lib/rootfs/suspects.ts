import { pathComponents, type ByteString } from './byte-path.js';
import type { ByteRange } from './content-equal.js';

/** Where the content of a suspect file may differ: nowhere, anywhere, or in ranges. */
export type DataHint = 'none' | 'whole' | ByteRange[];

/** A path that may differ, or a parent directory of one. */
export interface Suspect {
  /** True when the path itself may differ; false for a mere parent directory. */
  touched: boolean;
  /** True when everything below may differ. */
  deep: boolean;
  data: DataHint;
  readonly children: Map<ByteString, Suspect>;
}

/** The paths that a comparison must visit, as a tree whose root is the root directory. */
export class Suspects {
  readonly root: Suspect = newSuspect();

  /** Adds a path, or extends the suspicion of one. */
  add(path: ByteString, options: { readonly deep?: boolean; readonly data?: DataHint } = {}): void {
    let node = this.root;
    for (const name of pathComponents(path)) {
      let next = node.children.get(name);
      if (next === undefined) node.children.set(name, (next = newSuspect()));
      node = next;
    }
    node.touched = true;
    node.deep ||= options.deep ?? false;
    node.data = joinHints(node.data, options.data ?? 'none');
  }
}

function newSuspect(): Suspect {
  return { touched: false, deep: false, data: 'none', children: new Map() };
}

function joinHints(a: DataHint, b: DataHint): DataHint {
  if (a === 'whole' || b === 'whole') return 'whole';
  if (a === 'none') return b;
  return b === 'none' ? a : [...a, ...b];
}
