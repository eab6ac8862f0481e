import { addressOf } from '../sys/index.js';

/** What is wrong with a path from an untrusted source. */
export type PathProblem = 'escapes' | 'nul' | 'too long' | 'too deep';

/** Limits of a path inside a root. */
interface PathLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/**
 * Parses a path inside a root without allocations. Drops leading `/` and `./`, repeated slashes and `.` components;
 * `..` removes the preceding component, regardless of its file type, and is refused where there is none.
 * `bytes[0..parentEnd)` is the parent (empty: the root), `bytes[nameStart..end)` the NUL-terminated last component. The
 * root itself has an empty name.
 */
export class RelativePath {
  readonly bytes: Uint8Array;
  readonly address: number;
  end = 0;
  parentEnd = 0;
  nameStart = 0;
  readonly #limits: PathLimits;

  constructor(limits: PathLimits) {
    this.bytes = new Uint8Array(limits.maxBytes + 2);
    this.address = addressOf(this.bytes);
    this.#limits = limits;
  }

  /** Parses `source[start..end)`. Returns the problem, if any. */
  assign(source: Uint8Array, start: number, end: number): PathProblem | undefined {
    const { bytes } = this;
    const { maxBytes, maxDepth } = this.#limits;
    let length = 0;
    let parentEnd = 0;
    let nameStart = 0;
    let depth = 0;
    let at = start;
    while (at < end) {
      if (source[at] === 0x2f) {
        at += 1;
        continue;
      }
      let stop = at;
      while (stop < end && source[stop] !== 0x2f) stop += 1;
      const size = stop - at;
      if (source[at] === 0x2e && size === 1) {
        at = stop;
        continue;
      }
      if (source[at] === 0x2e && size === 2 && source[at + 1] === 0x2e) {
        if (length === 0) return 'escapes';
        depth -= 1;
        length = parentEnd;
        nameStart = startOfLast(bytes, length);
        parentEnd = Math.max(0, nameStart - 1);
        at = stop;
        continue;
      }
      if (length + size + 1 > maxBytes) return 'too long';
      if ((depth += 1) > maxDepth) return 'too deep';
      parentEnd = length;
      if (length > 0) bytes[length++] = 0x2f;
      nameStart = length;
      for (; at < stop; at += 1) {
        const byte = source[at]!;
        if (byte === 0) return 'nul';
        bytes[length++] = byte;
      }
    }
    bytes[length] = 0;
    this.end = length;
    this.parentEnd = parentEnd;
    this.nameStart = nameStart;
    return undefined;
  }

  get isRoot(): boolean {
    return this.end === 0;
  }

  /** A copy of the whole path. */
  toBuffer(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.end));
  }
}

/** The start of the last component of `bytes[0..end)`. */
function startOfLast(bytes: Uint8Array, end: number): number {
  let start = end;
  while (start > 0 && bytes[start - 1] !== 0x2f) start -= 1;
  return start;
}
