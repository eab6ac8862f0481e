import { constants, readdirSync } from 'node:fs';
import { fdPath, OPEN_DIRECTORY, openAt, statAtIfThere, type FileStat } from '../sys/index.js';
import { fromByteString, type ByteString } from './byte-path.js';
import { compareChanges, type Change, type ChangedAspect, type ChangeKind } from './change.js';
import { compareEntries } from './compare-entries.js';
import { DirectoryStack } from './directory-stack.js';
import { entryType } from './entry-type.js';
import { changedLinks, type LinkedPath } from './link-groups.js';
import { readXattrs } from './read-metadata.js';
import type { DataHint, Suspect, Suspects } from './suspects.js';

const { S_IFMT, S_IFDIR, S_IFREG } = constants;
/** A btrfs snapshot shows an empty stub where the original contains another subvolume (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID). */
const SUBVOLUME_STUB = 2n;
/** Mode of the root when there is nothing to compare it with. */
const FRESH_ROOT_MODE = S_IFDIR | 0o755;

/** A directory of both sides in which only the suspects were compared. */
export interface PartialDirectory {
  readonly path: ByteString;
  readonly lower: FileStat;
  readonly upper: FileStat;
  /** Total length of the added names minus the deleted names. Bytes. */
  readonly namesGrowth: number;
}

/** The names of a directory, or why there are none. */
type Names = ReadonlySet<ByteString> | 'unread' | 'absent';

interface Frame {
  readonly path: ByteString;
  readonly names: readonly ByteString[];
  next: number;
  readonly inLower: Names;
  readonly inUpper: Names;
  /** The paths to compare; undefined: all. */
  readonly suspects: ReadonlyMap<ByteString, Suspect> | undefined;
  namesGrowth: number;
}

/** The two sides of one path; a missing file is undefined. */
interface Sides {
  readonly lower: FileStat | undefined;
  readonly upper: FileStat | undefined;
}

/**
 * Compares two trees, completely or only suspect paths, and collects the changes. Reads both through descriptors, name
 * by name, and follows no links. Other file systems and subvolumes below a root count as empty directories. Usage:
 * construct, `visit` (once or repeatedly; results accumulate), `changes`, `close`.
 */
export class TreeComparison {
  readonly #lower: DirectoryStack | undefined;
  readonly #upper: DirectoryStack;
  readonly #onPartial: ((directory: PartialDirectory) => void) | undefined;
  readonly #frames: Frame[] = [];
  #reportPartial = true;
  readonly #found = new Map<ByteString, Change>();
  /** Paths that share their inode with others on at least one side; without directories. */
  readonly #linked = new Map<ByteString, Sides>();
  /** Differences between two inodes with several names, by inode numbers, so that each pair is compared once. */
  readonly #linkedAspects = new Map<string, ChangedAspect[]>();

  /**
   * `lower` and `upper` are open root directories; the caller keeps and closes them. Without `lower` everything counts
   * as added, and the root as changed unless it belongs to root with mode 0755. `onPartial` receives each directory in
   * which only suspects were compared. Throws SyscallError.
   */
  constructor(
    lower: number | undefined,
    upper: number,
    options: { readonly onPartial?: (directory: PartialDirectory) => void } = {},
  ) {
    this.#lower = lower === undefined ? undefined : new DirectoryStack(openAt(lower, '.', OPEN_DIRECTORY));
    this.#upper = new DirectoryStack(openAt(upper, '.', OPEN_DIRECTORY));
    this.#onPartial = options.onPartial;
  }

  close(): void {
    this.#lower?.close();
    this.#upper.close();
  }

  /**
   * Compares everything, or only `suspects` (`partial`: call `onPartial`). A generator, so that the caller can do other
   * work between steps. Throws SyscallError.
   */
  *visit(suspects?: Suspects, options: { readonly partial?: boolean } = {}): Generator<void, void> {
    this.#reportPartial = options.partial ?? true;
    yield* this.#visitRoot(suspects?.root);
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      const name = frame.names[frame.next++];
      if (name === undefined) this.#leave(frame);
      else yield* this.#visitEntry(frame, name);
      yield;
    }
  }

  /** The inodes with several names seen so far. `changes` is correct only after all their paths were visited. */
  *linkedInodes(): Generator<{ readonly side: 'lower' | 'upper'; readonly ino: bigint }> {
    for (const { lower, upper } of this.#linked.values()) {
      if (lower !== undefined && lower.nlink > 1) yield { side: 'lower', ino: lower.ino };
      if (upper !== undefined && upper.nlink > 1) yield { side: 'upper', ino: upper.ino };
    }
  }

  /** True when `path` was visited and shares its inode. */
  hasLinked(path: ByteString): boolean {
    return this.#linked.has(path);
  }

  /** All changes found, sorted bytewise by path. */
  changes(): Change[] {
    const linked = new Map<ByteString, LinkedPath>();
    for (const [path, { lower, upper }] of this.#linked)
      linked.set(path, { lowerIno: lower?.ino, upperIno: upper?.ino, changed: this.#found.has(path) });
    const found = new Map(this.#found);
    for (const path of changedLinks(linked)) {
      const change = found.get(path) ?? describe('C', path, this.#linked.get(path)!, []);
      if (!change.changed.includes('type')) found.set(path, { ...change, changed: [...change.changed, 'link'] });
    }
    return [...found.values()].sort(compareChanges);
  }

  *#visitRoot(suspect: Suspect | undefined): Generator<void, void> {
    const upper = this.#upper.stat;
    if (this.#lower === undefined) {
      const changed: ChangedAspect[] = [];
      if (upper.mode !== FRESH_ROOT_MODE) changed.push('mode');
      if (upper.uid !== 0 || upper.gid !== 0) changed.push('owner');
      if (readXattrs(this.#upper.fd, '').size > 0) changed.push('xattr');
      if (changed.length > 0) this.#found.set('/', describe('C', '/', { lower: undefined, upper }, changed));
    } else if (suspect === undefined || suspect.touched) {
      yield* this.#compare('', '/', this.#lower.stat, upper, 'none');
    }
    this.#list('', this.#lower !== undefined, suspect?.deep === true ? undefined : suspect);
  }

  *#visitEntry(frame: Frame, name: ByteString): Generator<void, void> {
    const path = `${frame.path}/${name}`;
    const suspect = frame.suspects?.get(name);
    const lower = statIn(this.#lower, frame.inLower, name);
    const upper = statIn(this.#upper, frame.inUpper, name);
    if (upper === undefined) {
      if (lower === undefined) return;
      frame.namesGrowth -= name.length;
      this.#found.set(path, describe('D', path, { lower, upper }, []));
    } else if (lower === undefined) {
      frame.namesGrowth += name.length;
      if (this.#found.has(path)) return;
      this.#found.set(path, describe('A', path, { lower, upper }, []));
      this.#noteLinks(path, lower, upper);
      this.#enter(path, name, undefined, upper, undefined);
    } else if (isDirectory(lower) && isDirectory(upper)) {
      yield* this.#visitDirectory(path, name, lower, upper, suspect);
    } else if (suspect === undefined || suspect.touched || isDirectory(lower) !== isDirectory(upper)) {
      if (this.#linked.has(path)) return;
      yield* this.#compare(name, path, lower, upper, contentHint(suspect, lower, upper));
      this.#noteLinks(path, lower, upper);
      this.#enter(path, name, undefined, upper, undefined);
    }
  }

  *#visitDirectory(
    path: ByteString,
    name: ByteString,
    lower: FileStat,
    upper: FileStat,
    suspect: Suspect | undefined,
  ): Generator<void, void> {
    // The kernel makes up the metadata of a stub each time.
    const [wasStub, isStub] = [lower.ino === SUBVOLUME_STUB, upper.ino === SUBVOLUME_STUB];
    if (wasStub && isStub) return;
    // Nothing can be created inside a stub, and a layer cannot express that.
    if (wasStub || isStub) this.#found.set(path, describe('C', path, { lower, upper }, ['type']));
    const another = lower.ino !== upper.ino;
    if (!wasStub && !isStub && (suspect === undefined || suspect.touched || another))
      yield* this.#compare(name, path, lower, upper, 'none');
    const everything = suspect === undefined || suspect.deep || another;
    this.#enter(path, name, lower, upper, everything ? undefined : suspect);
  }

  *#compare(
    name: ByteString,
    path: ByteString,
    lower: FileStat,
    upper: FileStat,
    data: DataHint,
  ): Generator<void, void> {
    const places = [
      { dir: this.#lower!.fd, stat: lower },
      { dir: this.#upper.fd, stat: upper },
    ] as const;
    const shared = !isDirectory(upper) && (lower.nlink > 1 || upper.nlink > 1);
    const key = shared ? `${lower.ino} ${upper.ino}` : '';
    const changed = this.#linkedAspects.get(key) ?? (yield* compareEntries(name, ...places, { data, path }));
    if (shared) this.#linkedAspects.set(key, changed);
    if (changed.length > 0) this.#found.set(path, describe('C', path, { lower, upper }, changed));
  }

  #noteLinks(path: ByteString, lower: FileStat | undefined, upper: FileStat): void {
    const sides = {
      lower: lower === undefined || isDirectory(lower) ? undefined : lower,
      upper: isDirectory(upper) ? undefined : upper,
    };
    if ((sides.lower?.nlink ?? 0) > 1 || (sides.upper?.nlink ?? 0) > 1) this.#linked.set(path, sides);
  }

  /** Enters the directory `name` unless it is not a directory or lies on another file system or subvolume. */
  #enter(
    path: ByteString,
    name: ByteString,
    lower: FileStat | undefined,
    upper: FileStat,
    suspect: Suspect | undefined,
  ): void {
    if (!isDirectory(upper) || !sameDevice(upper, this.#upper.stat)) return;
    const both = lower !== undefined && sameDevice(lower, this.#lower!.stat);
    this.#upper.enter(name, upper);
    if (both) this.#lower!.enter(name, lower);
    this.#list(path, both, suspect);
  }

  #list(path: ByteString, both: boolean, suspect: Suspect | undefined): void {
    const suspects = suspect?.children;
    let inUpper: Names = 'unread';
    let inLower: Names = both ? 'unread' : 'absent';
    if (suspects === undefined) {
      inUpper = readNames(this.#upper.fd);
      if (both) inLower = readNames(this.#lower!.fd);
    }
    const names = new Set(
      [suspects?.keys() ?? [], inUpper, inLower].flatMap((some) => (isText(some) ? [] : [...some])),
    );
    this.#frames.push({ path, names: [...names], next: 0, inLower, inUpper, suspects, namesGrowth: 0 });
  }

  #leave(frame: Frame): void {
    this.#frames.pop();
    const both = frame.inLower !== 'absent';
    if (both && frame.suspects !== undefined && this.#reportPartial)
      this.#onPartial?.({
        path: frame.path,
        lower: this.#lower!.stat,
        upper: this.#upper.stat,
        namesGrowth: frame.namesGrowth,
      });
    if (this.#frames.length === 0) return;
    this.#upper.leave();
    if (both) this.#lower!.leave();
  }
}

function describe(kind: ChangeKind, path: ByteString, sides: Sides, changed: ChangedAspect[]): Change {
  const { lower, upper } = sides;
  return {
    kind,
    path: fromByteString(path),
    type: entryType((upper ?? lower)!.mode),
    changed,
    ...(isFile(upper) ? { size: Number(upper.size) } : {}),
    ...(isFile(lower) ? { oldSize: Number(lower.size) } : {}),
  };
}

/** Two files that are one inode with one name can differ only where the suspicion says; other files anywhere. */
function contentHint(suspect: Suspect | undefined, lower: FileStat, upper: FileStat): DataHint {
  if (suspect === undefined || suspect.deep) return 'whole';
  return lower.ino === upper.ino && lower.nlink === 1 && upper.nlink === 1 ? suspect.data : 'whole';
}

function statIn(stack: DirectoryStack | undefined, names: Names, name: ByteString): FileStat | undefined {
  if (stack === undefined || names === 'absent' || (names !== 'unread' && !names.has(name))) return undefined;
  return statAtIfThere(stack.fd, fromByteString(name));
}

function readNames(fd: number): Set<ByteString> {
  return new Set(readdirSync(fdPath(fd), { encoding: 'latin1' }));
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isDirectory(stat: FileStat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

function isFile(stat: FileStat | undefined): stat is FileStat {
  return stat !== undefined && (stat.mode & S_IFMT) === S_IFREG;
}

function sameDevice(a: FileStat, b: FileStat): boolean {
  return a.devMajor === b.devMajor && a.devMinor === b.devMinor;
}
