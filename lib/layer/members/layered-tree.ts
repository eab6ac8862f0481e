import type { FileTree, OpenContent, TreeNode } from '../../rootfs/index.js';
import { LayerFormatError, SyscallError } from '../../errors.js';
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from '../whiteout.js';
import type { IndexEntry } from './entry.js';
import type { LayerIndex } from './layer-index.js';

/** One tar of a layered tree. */
export interface TarLayer {
  readonly index: LayerIndex;
  /** Opens the stored contents that were written to `IndexInput.data`; stays open until the tree is closed. */
  readonly data: () => Promise<number>;
}

export interface LayeredTreeOptions {
  /** Treat whiteout names as ordinary names. */
  readonly plainNames?: boolean;
}

const IMPLIED: TreeNode = {
  ...{ type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n, isImplied: true },
  xattrs: new Map(),
};

/** The file tree of stacked layers, lowest first, read through their indexes without unpacking anything. */
export class LayeredTree implements FileTree {
  readonly #layers: readonly TarLayer[];
  readonly #plainNames: boolean;

  constructor(layers: readonly TarLayer[], { plainNames = false }: LayeredTreeOptions = {}) {
    this.#layers = layers;
    this.#plainNames = plainNames;
  }

  node(path: string): TreeNode | undefined {
    const found = this.#find(path, this.#layers.length - 1);
    if (found === undefined) return undefined;
    return found === 'implied' ? IMPLIED : nodeOf(found.entry, found.layer);
  }

  names(path: string): readonly string[] {
    const names = new Set<string>();
    const gone = new Set<string>();
    for (let layer = this.#layers.length - 1; layer >= 0; layer -= 1) {
      const { index } = this.#layers[layer]!;
      const own = index.names(path);
      for (const name of own) if (!this.#isMark(name) && !gone.has(name)) names.add(name);
      if (this.#plainNames) continue;
      if (index.find(join(path, OPAQUE_MARKER)) !== undefined || this.#hides(layer, path)) break;
      for (const name of own)
        if (this.#isMark(name) && !names.has(name.slice(WHITEOUT_PREFIX.length)))
          gone.add(name.slice(WHITEOUT_PREFIX.length));
    }
    return [...names].sort();
  }

  async open(path: string): Promise<OpenContent> {
    const found = this.#find(path, this.#layers.length - 1);
    if (found === undefined || found === 'implied' || found.entry.type !== 'file') {
      throw new SyscallError('the file is no longer a regular file', { errno: 'ESTALE', syscall: 'openat', path });
    }
    const { size, offset, regions } = found.entry;
    const fd = await this.#layers[found.layer]!.data();
    return { fd, offset, size, ...(regions === undefined ? {} : { regions }), close: () => undefined };
  }

  /** The entry for a path, searched in layer `from` and the layers below it. */
  #find(path: string, from: number): { readonly entry: IndexEntry; readonly layer: number } | 'implied' | undefined {
    let implied = false;
    for (let layer = from; layer >= 0; layer -= 1) {
      const { index } = this.#layers[layer]!;
      const entry = index.find(path);
      if (entry?.type === 'hard-link') return this.#linked(entry, layer);
      if (entry !== undefined) return { entry, layer };
      implied ||= index.hasBelow(path);
      if (!this.#plainNames && this.#hides(layer, path)) break;
    }
    return implied || path === '' ? 'implied' : undefined;
  }

  #linked({ target = '' }: IndexEntry, layer: number): { readonly entry: IndexEntry; readonly layer: number } {
    const found = this.#find(target, layer - 1);
    if (found === undefined || found === 'implied' || found.entry.type === 'directory') {
      throw new LayerFormatError(`a layer has a hard link to /${target}, which is not a file in the layers below`, {
        entry: target,
      });
    }
    return { ...found, entry: { ...found.entry, first: found.entry.first ?? found.entry.path } };
  }

  /** True when a layer removes or replaces a path of the layers below. Its own entry for the path is not considered. */
  #hides(layer: number, path: string): boolean {
    const { index } = this.#layers[layer]!;
    const names = path === '' ? [] : path.split('/');
    for (let depth = 0; depth < names.length; depth += 1) {
      const above = names.slice(0, depth).join('/');
      const name = names[depth]!;
      if (depth > 0) {
        const type = index.find(above)?.type;
        if (type !== undefined && type !== 'directory') return true;
      }
      if (index.find(join(above, OPAQUE_MARKER)) !== undefined) return true;
      if (index.find(join(above, `${WHITEOUT_PREFIX}${name}`)) !== undefined) return true;
    }
    return false;
  }

  #isMark(name: string): boolean {
    return !this.#plainNames && name.startsWith(WHITEOUT_PREFIX);
  }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

function nodeOf(entry: IndexEntry, layer: number): TreeNode {
  const { type, mode, uid, gid, size, mtimeNs, target, first, device, hash } = entry;
  const xattrs = (entry.xattrs ?? []).map(([name, base64]) => [name, Buffer.from(base64, 'base64')] as const);
  return {
    ...{ type: type as TreeNode['type'], mode, uid, gid, size, mtimeNs },
    xattrs: new Map([...xattrs].sort(([a], [b]) => (a < b ? -1 : 1))),
    ...(target === undefined ? {} : { target }),
    ...(first === undefined ? {} : { linkKey: `${layer}:${first}` }),
    ...(device === undefined ? {} : { device: { major: device[0], minor: device[1] } }),
    ...(hash === undefined ? {} : { contentHash: hash }),
  };
}
