import { pathComponents, Suspects, toByteString, type ByteString, type DataHint } from '../../rootfs/index.js';
import { ATTRIBUTE, COMMAND } from './commands.js';
import { SendSurprise, type SendCommand } from './stream.js';

/** A name as tracked through the stream. */
interface Node {
  /** Path in the lower tree; undefined for names created by the stream. */
  readonly lower: ByteString | undefined;
  /** Current parent; undefined once the name is deleted. */
  parent: Node | undefined;
  name: ByteString;
  /** Created or moved: everything below may differ. */
  deep: boolean;
  data: DataHint;
  /** Names that the stream has touched; null for a deleted one. */
  readonly children: Map<ByteString, Node | null>;
}

const MAKES: ReadonlySet<number> = new Set([
  COMMAND.mkfile,
  COMMAND.mkdir,
  COMMAND.mknod,
  COMMAND.mkfifo,
  COMMAND.mksock,
  COMMAND.symlink,
]);
const METADATA: ReadonlySet<number> = new Set([
  COMMAND.setXattr,
  COMMAND.removeXattr,
  COMMAND.chmod,
  COMMAND.chown,
  COMMAND.utimes,
  COMMAND.fileattr,
]);
const DATA: ReadonlySet<number> = new Set([
  COMMAND.write,
  COMMAND.clone,
  COMMAND.truncate,
  COMMAND.fallocate,
  COMMAND.encodedWrite,
  COMMAND.enableVerity,
]);
/** The most ranges recorded for one file; with more, its content may differ anywhere. */
const MAX_RANGES = 4096;

/**
 * Tracks names through a send stream. `send` works by inode: it moves obstacles to temporary names and delays renames,
 * so the meaning of a path depends on the position in the stream. A tree of nodes records each name's path in the lower
 * tree and its final path. Throws SendSurprise for an unknown command or name.
 */
export class SendReplay {
  readonly #root: Node = newNode('', undefined, '');
  readonly #nodes = new Set<Node>();
  readonly #places: { readonly parent: Node; readonly name: ByteString }[] = [];
  #started = false;
  #ended = false;

  apply({ command, attributes }: SendCommand): void {
    if (this.#ended) throw new SendSurprise('a command after the end');
    if (!this.#started) {
      if (command !== COMMAND.snapshot) throw new SendSurprise('not an incremental stream');
      this.#started = true;
      return;
    }
    if (command === COMMAND.end) {
      this.#ended = true;
      return;
    }
    const path = bytesOf(attributes, ATTRIBUTE.path);
    if (METADATA.has(command)) this.#touch(this.#resolve(path));
    else if (DATA.has(command)) this.#touch(this.#resolve(path)).data = 'whole';
    else if (command === COMMAND.updateExtent) this.#updateExtent(this.#resolve(path), attributes);
    else if (MAKES.has(command)) this.#make(path);
    else if (command === COMMAND.link) {
      this.#touch(this.#resolve(bytesOf(attributes, ATTRIBUTE.pathLink)));
      this.#make(path);
    } else if (command === COMMAND.rename) this.#rename(path, bytesOf(attributes, ATTRIBUTE.pathTo));
    else if (command === COMMAND.unlink || command === COMMAND.rmdir) this.#detach(this.#resolve(path));
    else throw new SendSurprise(`send command ${command}`);
  }

  /** All paths, old and new, that the stream touched. Throws SendSurprise before the end of the stream. */
  suspects(): Suspects {
    if (!this.#ended) throw new SendSurprise('the stream ends early');
    const suspects = new Suspects();
    for (const node of this.#nodes) {
      const hints = { deep: node.deep, data: node.data };
      // Adding a path twice would double its ranges.
      for (const path of new Set([node.lower, finalPath(node, this.#root)]))
        if (path !== undefined) suspects.add(path, hints);
    }
    for (const { parent, name } of this.#places)
      for (const directory of [parent.lower, finalPath(parent, this.#root)])
        if (directory !== undefined) suspects.add(`${directory}/${name}`, { deep: true, data: 'whole' });
    return suspects;
  }

  #touch(node: Node): Node {
    this.#nodes.add(node);
    return node;
  }

  #resolve(path: ByteString): Node {
    let node = this.#root;
    for (const name of pathComponents(path)) {
      let next = node.children.get(name);
      if (next === undefined && node.lower !== undefined)
        node.children.set(name, (next = newNode(`${node.lower}/${name}`, node, name)));
      if (next === undefined || next === null) throw new SendSurprise('an unknown name');
      node = next;
    }
    return node;
  }

  #make(path: ByteString): void {
    const { parent, name } = this.#place(path);
    const node = newNode(undefined, parent, name);
    node.deep = true;
    node.data = 'whole';
    parent.children.set(name, this.#touch(node));
  }

  #rename(from: ByteString, to: ByteString): void {
    const node = this.#resolve(from);
    this.#detach(node);
    const { parent, name } = this.#place(to);
    const replaced = parent.children.get(name);
    if (replaced !== undefined && replaced !== null) replaced.parent = undefined;
    node.parent = parent;
    node.name = name;
    node.deep = true;
    parent.children.set(name, node);
  }

  #detach(node: Node): void {
    if (node.parent === undefined) throw new SendSurprise('the root is removed');
    this.#touch(node);
    this.#places.push({ parent: node.parent, name: node.name });
    node.parent.children.set(node.name, null);
    node.parent = undefined;
  }

  #place(path: ByteString): { parent: Node; name: ByteString } {
    const names = pathComponents(path);
    const name = names.pop();
    if (name === undefined || name === '..') throw new SendSurprise('an impossible name');
    const place = { parent: this.#resolve(names.join('/')), name };
    this.#places.push(place);
    return place;
  }

  #updateExtent(node: Node, attributes: ReadonlyMap<number, Buffer>): void {
    this.#touch(node);
    const [offset, length] = [numberOf(attributes, ATTRIBUTE.fileOffset), numberOf(attributes, ATTRIBUTE.size)];
    if (node.data === 'none') node.data = [];
    if (node.data === 'whole') return;
    if (node.data.length >= MAX_RANGES) node.data = 'whole';
    else node.data.push({ offset, length });
  }
}

function newNode(lower: ByteString | undefined, parent: Node | undefined, name: ByteString): Node {
  return { lower, parent, name, deep: false, data: 'none', children: new Map() };
}

function finalPath(node: Node, root: Node): ByteString | undefined {
  const names: ByteString[] = [];
  for (let at = node; at !== root; at = at.parent) {
    if (at.parent === undefined) return undefined;
    names.push(at.name);
  }
  return names
    .reverse()
    .map((name) => `/${name}`)
    .join('');
}

function bytesOf(attributes: ReadonlyMap<number, Buffer>, attribute: number): ByteString {
  const value = attributes.get(attribute);
  if (value === undefined) throw new SendSurprise('a command without its path');
  return toByteString(value);
}

function numberOf(attributes: ReadonlyMap<number, Buffer>, attribute: number): number {
  const value = attributes.get(attribute);
  if (value?.length !== 8) throw new SendSurprise('a command without its numbers');
  return Number(value.readBigUInt64LE());
}
