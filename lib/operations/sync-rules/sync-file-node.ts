import type { Alias, Document, LineCounter, Node, Pair, Scalar, YAMLMap } from 'yaml';
import { ImgtoolError, UsageError } from '../../errors.js';

/** A value in the file and its position, for messages. */
export class FileNode {
  readonly value: unknown;
  /** Path in the document: `sync[0].tags`. */
  readonly path: string;
  readonly #node: Node | null;
  readonly #file: FileContext;

  constructor(file: FileContext, node: Node | null, path: string) {
    this.#file = file;
    this.#node = file.isAlias(node) ? (node.resolve(file.document) ?? null) : node;
    this.path = path;
    this.value = node === null ? null : node.toJS(file.document);
  }

  /** Members of a mapping by key. Throws UsageError for other values. */
  members(): Map<string, FileNode> {
    if (!this.#file.isMap(this.#node)) throw this.valueError('is not a mapping');
    const members = new Map<string, FileNode>();
    for (const { key, value } of this.#node.items as Pair<Scalar, Node | null>[]) {
      const name = String(key.value);
      members.set(name, new FileNode(this.#file, value, this.path === '' ? name : `${this.path}.${name}`).at(key));
    }
    return members;
  }

  /** Items of a list; a single value counts as a list of one. */
  items(): FileNode[] {
    if (!this.#file.isSeq(this.#node)) return [this];
    return this.#node.items.map((item, i) => new FileNode(this.#file, item as Node, `${this.path}[${i}]`));
  }

  text(): string {
    if (typeof this.value === 'string' && this.value !== '') return this.value;
    if (typeof this.value === 'number') return (this.#node as Scalar).source ?? String(this.value);
    throw this.valueError('is not a text');
  }

  texts(): string[] {
    return this.items().map((item) => item.text());
  }

  flag(): boolean {
    if (typeof this.value === 'boolean') return this.value;
    throw this.valueError('is neither true nor false');
  }

  count(): number {
    if (Number.isSafeInteger(this.value) && (this.value as number) >= 0) return this.value as number;
    throw this.valueError('is not a whole number');
  }

  /** The result of `parse`, whose errors get the line. */
  parsed<T>(parse: (text: string) => T): T {
    return this.parsedKey(parse, this.text());
  }

  /** Like `parsed`, for a text that belongs to this node. */
  parsedKey<T>(parse: (text: string) => T, text: string): T {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof ImgtoolError && !(error instanceof LineError))
        throw this.valueError(`: ${error.message}`, error.hint);
      throw error;
    }
  }

  valueError(why: string, hint?: string): UsageError {
    const gap = why.startsWith(':') ? '' : ' ';
    return new LineError(`${this.#file.title} line ${this.line}: ${this.path || 'the file'}${gap}${why}`, { hint });
  }

  get line(): number {
    const start = (this.#at ?? this.#node)?.range?.[0] ?? 0;
    return this.#file.lines.linePos(start).line;
  }

  #at: Node | undefined;

  /** Makes errors about this node refer to the line of `key`. */
  at(key: Node): this {
    this.#at = key;
    return this;
  }
}

class LineError extends UsageError {}

/** The document of a file's values. */
export interface FileContext {
  readonly title: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly isAlias: (node: unknown) => node is Alias;
  readonly isMap: (node: unknown) => node is YAMLMap;
  readonly isSeq: (node: unknown) => node is { readonly items: unknown[] } & Node;
}

/** Returns the members. Throws UsageError with the line if there are unknown keys. */
export function checkKeys(node: FileNode, known: readonly string[]): Map<string, FileNode> {
  const members = node.members();
  for (const [key, member] of members) {
    if (known.includes(key)) continue;
    throw member.valueError('is not known here', `known are: ${known.join(', ')}`);
  }
  return members;
}
