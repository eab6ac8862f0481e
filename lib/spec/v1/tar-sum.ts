import { createHash, type Hash } from 'node:crypto';
import { LayerFormatError } from '../../errors.js';
import { digestFrom } from '../digest.js';
import { TarWalk, type TarHeader } from './tar-walk.js';

/** The two versions that registries and schema1 manifests name (docker pkg/tarsum/versioning.go). */
export type TarSumVersion = 'v0' | 'v1';

/** Members of a layer: of each the sums are held until the end. */
const MAX_ENTRIES = 500_000;
/** Bytes of all their paths. */
const MAX_PATHS_BYTES = 64 * 1024 * 1024;

interface Entry {
  /** Cleaned, to find entries of the same path. */
  readonly path: string;
  readonly sums: Readonly<Record<TarSumVersion, string>>;
}

/**
 * TarSum of an uncompressed tar, fed in pieces (docker pkg/tarsum/tarsum_spec.md): a sum over headers and files that does not
 * depend on the order of the members. Both versions are made in one pass.
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

  /** Takes the next piece of the tar. Throws LayerFormatError when it is no tar, one of a kind that has no TarSum (sparse), or one of too many members. */
  update(piece: Uint8Array): void {
    this.#walk.update(piece);
  }

  /** Ends the tar; gives the labelled sums, with `extra` (the image's JSON) before the entries. Throws LayerFormatError when it is cut. */
  end(extra: Uint8Array): Readonly<Record<TarSumVersion, string>> {
    this.#walk.end();
    this.#finish();
    return { v0: `tarsum+${this.#total('v0', extra)}`, v1: `tarsum.v1+${this.#total('v1', extra)}` };
  }

  /**
   * Whether the sum depends on how its maker sorts: two members of one path keep their order, which may contradict the order of
   * the sums, and then no order is right.
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
      throw new LayerFormatError('the layer has too many members to sum');
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
