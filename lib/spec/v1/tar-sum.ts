import { createHash, type Hash } from 'node:crypto';
import { LayerFormatError } from '../../errors.js';
import { digestFrom } from '../digest.js';
import { TarWalk, type TarHeader } from './tar-walk.js';

/** The two versions in use by registries and schema 1 manifests (docker pkg/tarsum/versioning.go). */
export type TarSumVersion = 'v0' | 'v1';

/** Maximum number of members, whose sums are kept until the end. */
const MAX_ENTRIES = 500_000;
/** Maximum total length of their paths, in bytes. */
const MAX_PATHS_BYTES = 64 * 1024 * 1024;

interface Entry {
  /** Normalized, to find entries with the same path. */
  readonly path: string;
  readonly sums: Readonly<Record<TarSumVersion, string>>;
}

/**
 * TarSum of an uncompressed tar, which arrives in pieces (docker pkg/tarsum/tarsum_spec.md): a sum over headers and
 * files that is independent of the order of the members. Computes both versions in one pass.
 */
export class TarSum {
  readonly #walk: TarWalk;
  readonly #entries: Entry[] = [];
  #pathsBytes = 0;
  #current: { readonly path: string; readonly hashes: Readonly<Record<TarSumVersion, Hash>> } | undefined;

  constructor() {
    this.#walk = new TarWalk({
      header: (header) => this.#begin(header),
      data: (piece) => {
        this.#current?.hashes.v0.update(piece);
        this.#current?.hashes.v1.update(piece);
      },
    });
  }

  /**
   * Takes the next piece of the tar. Throws LayerFormatError for an invalid tar, one without a TarSum (sparse), or one
   * with too many members.
   */
  update(piece: Uint8Array): void {
    this.#walk.update(piece);
  }

  /**
   * Ends the tar. Returns the labelled sums with `extra` (the image's JSON) before the entries. Throws LayerFormatError
   * when the tar is truncated.
   */
  end(extra: Uint8Array): Readonly<Record<TarSumVersion, string>> {
    this.#walk.end();
    this.#finish();
    return { v0: `tarsum+${this.#total('v0', extra)}`, v1: `tarsum.v1+${this.#total('v1', extra)}` };
  }

  /**
   * Reports whether the sum depends on the sorting algorithm: two members with the same path keep their order, which
   * may contradict the order of the sums, so that no order is right.
   */
  isDoubtful(version: TarSumVersion): boolean {
    const last = new Map<string, string>();
    return this.#entries.some(({ path, sums }) => {
      const before = last.get(path);
      last.set(path, sums[version]);
      return before !== undefined && before > sums[version];
    });
  }

  #total(version: TarSumVersion, extra: Uint8Array): string {
    const sorted = this.#entries
      .map(({ path, sums }, at) => ({ path, sum: sums[version], at }))
      .sort((a, b) => (a.path === b.path ? a.at - b.at : a.sum < b.sum ? -1 : a.sum > b.sum ? 1 : 0));
    const hash = createHash('sha256').update(extra);
    for (const { sum } of sorted) hash.update(sum);
    return digestFrom(hash);
  }

  #begin(header: TarHeader): void {
    this.#finish();
    const hashes = { v0: createHash('sha256'), v1: createHash('sha256') };
    for (const version of ['v0', 'v1'] as const) {
      const hash = hashes[version];
      for (const [name, value] of fieldsOf(header, version)) hash.update(name).update(value);
    }
    const path = cleanPath(header.name.toString('latin1'));
    this.#pathsBytes += path.length;
    if (this.#entries.length === MAX_ENTRIES || this.#pathsBytes > MAX_PATHS_BYTES)
      throw new LayerFormatError('the layer has too many members for a TarSum');
    this.#current = { path, hashes };
  }

  #finish(): void {
    if (this.#current === undefined) return;
    const { path, hashes } = this.#current;
    this.#entries.push({ path, sums: { v0: hashes.v0.digest('hex'), v1: hashes.v1.digest('hex') } });
    this.#current = undefined;
  }
}

function fieldsOf(header: TarHeader, version: TarSumVersion): [string | Buffer, string | Buffer][] {
  return [
    ['name', header.name],
    ['mode', String(header.mode)],
    ['uid', String(header.uid)],
    ['gid', String(header.gid)],
    ['size', String(header.size)],
    ...(version === 'v0' ? [['mtime', String(header.mtime)] as [string, string]] : []),
    ['typeflag', Buffer.from([header.type])],
    ['linkname', header.linkName],
    ['uname', header.userName],
    ['gname', header.groupName],
    ['devmajor', String(header.devMajor)],
    ['devminor', String(header.devMinor)],
    ...(version === 'v0' ? [] : [...header.xattrs].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))),
  ];
}

function cleanPath(name: string): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}
