/**
 * Hash of a path inside a root: 64 bits in two halves, extended from a directory to a child by `/` and the name. A
 * compact key for sets of paths. Not secure: collisions can be constructed.
 */
export class PathHash {
  a = 0x811c9dc5 | 0;
  b = 0x9e3779b9 | 0;

  /** Starts from the hash of `other`, or of the root. */
  from(other?: PathHash): this {
    this.a = other === undefined ? 0x811c9dc5 | 0 : other.a;
    this.b = other === undefined ? 0x9e3779b9 | 0 : other.b;
    return this;
  }

  /** Appends `/` and the bytes of a name. */
  child(bytes: Uint8Array, start: number, end: number): this {
    let a = Math.imul(this.a ^ 0x2f, 0x01000193);
    let b = Math.imul(this.b ^ 0x2f, 0x85ebca6b);
    for (let index = start; index < end; index += 1) {
      const byte = bytes[index]!;
      a = Math.imul(a ^ byte, 0x01000193);
      b = Math.imul(b ^ byte ^ (b >>> 15), 0x85ebca6b);
    }
    this.a = a;
    this.b = b;
    return this;
  }
}

/** A set of path hashes. Uses 8 bytes per member, and up to four times as much while it grows. */
export class PathHashSet {
  #table = new Int32Array(2 * 1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(hash: PathHash): void {
    if (this.#size * 8 >= this.#table.length * 3) this.#grow();
    if (insert(this.#table, hash.a, hash.b)) this.#size += 1;
  }

  has(hash: PathHash): boolean {
    const at = find(this.#table, hash.a, hash.b);
    return this.#table[at] !== 0 || this.#table[at + 1] !== 0;
  }

  #grow(): void {
    const old = this.#table;
    this.#table = new Int32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 2)
      if (old[at] !== 0 || old[at + 1] !== 0) insert(this.#table, old[at]!, old[at + 1]!);
  }
}

function insert(table: Int32Array, a: number, b: number): boolean {
  const at = find(table, a, b);
  if (table[at] !== 0 || table[at + 1] !== 0) return false;
  table[at] = a;
  table[at + 1] = b;
  return true;
}

/** The position of the pair, or the free position for it. */
function find(table: Int32Array, a: number, b: number): number {
  const mask = table.length - 1;
  let at = ((a ^ b) << 1) & mask;
  while ((table[at] !== 0 || table[at + 1] !== 0) && (table[at] !== a || table[at + 1] !== b)) at = (at + 2) & mask;
  return at;
}
