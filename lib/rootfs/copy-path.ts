import { closeSync } from 'node:fs';
import { basename } from 'node:path';
import { UsageError } from '../errors.js';
import { isErrno, mkdirAt } from '../sys/index.js';
import { toByteString } from './byte-path.js';
import { setDirectoryAttributes } from './copy-attributes.js';
import {
  locate,
  namesEntries,
  notADirectoryError,
  notFoundError,
  openEntry,
  openRoot,
  type CopyPlace,
  type Opened,
} from './copy-place.js';
import { TreeCopier, type CopyTotals } from './copy-tree.js';
import { entryType } from './entry-type.js';
import type { TreeEntry } from './open-regular.js';
import { readMetadata } from './read-metadata.js';
import type { ResolvedPath } from './resolve-in-root.js';
import { runInSlices } from './walk-changes.js';

export interface CopyInput {
  readonly from: CopyPlace;
  readonly to: CopyPlace;
  /** If `from` is a link, copy its target (inside its root) instead of the link. */
  readonly followLink: boolean;
  /** `from` is an unpacked tar (see `CopyOptions`), and `to` is in a root. */
  readonly fromTar?: boolean;
  readonly signal: AbortSignal;
  /** Receives one line for each omission. */
  readonly onNote: (line: string) => void;
}

/**
 * Copies a file or directory like `docker cp`: into `to` if it is a directory, else under that name. Copies only the
 * entries when `from` ends in `/.`. Preserves owners, modes, times, attributes and hard links. Resolves paths in a root
 * inside it, including links; follows no links below the two places. Creates devices only in roots. Throws
 * NotFoundError, UsageError, SyscallError, node's system errors, AbortError; files copied before an error stay.
 */
export async function copyPath(input: CopyInput): Promise<CopyTotals> {
  const opened: Opened = [];
  const copier = new TreeCopier({
    devices: input.to.root !== undefined,
    fromTar: input.fromTar === true,
    onNote: input.onNote,
  });
  try {
    await runInSlices(copy(input, copier, opened), input.signal);
    return copier.totals;
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

function* copy(
  { from, to, followLink, fromTar }: CopyInput,
  copier: TreeCopier,
  opened: Opened,
): Generator<void, void> {
  const entriesOnly = namesEntries(from.path);
  const follow = followLink || entriesOnly || from.path.endsWith('/');
  const source = locate(from, { keepLastLink: !follow }, opened);
  if (source.stat === undefined) throw notFoundError(from.path);
  const isDirectory = entryType(source.stat.mode) === 'directory';
  if (!isDirectory && (entriesOnly || from.path.endsWith('/'))) throw notADirectoryError(from.path);
  const target = locate(to, {}, opened);
  const there = target.stat === undefined ? undefined : entryType(target.stat.mode);
  if (!isDirectory && there !== 'directory' && /(^|\/)\.{0,2}$/.test(to.path)) {
    throw there === undefined ? notFoundError(to.path) : notADirectoryError(to.path);
  }
  if (isDirectory && there !== undefined && there !== 'directory') {
    throw new UsageError(`${from.path} is a directory, but ${to.path} is a ${there}`, {
      hint: 'choose another destination',
    });
  }
  if (entriesOnly && there === 'directory') {
    const root = fromTar === true && to.root !== undefined ? openRoot(to.root, opened) : undefined;
    const place = root === undefined ? undefined : { root, path: toByteString(target.path) };
    yield* copier.entriesOf(openEntry(source, opened), openEntry(target, opened), place);
    return;
  }
  const name = Buffer.from(basename(from.path));
  const place = there === 'directory' ? { dir: openEntry(target, opened), name } : target;
  if (isDirectory) yield* copyDirectory(source, place, copier, opened);
  else yield* copier.leaf(source, place);
}

function* copyDirectory(
  source: ResolvedPath,
  target: TreeEntry,
  copier: TreeCopier,
  opened: Opened,
): Generator<void, void> {
  const metadata = readMetadata(source.dir, source.name);
  const from = openEntry(source, opened);
  try {
    mkdirAt(target.dir, target.name, 0o700);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  let to: number;
  try {
    to = openEntry(target, opened);
  } catch (error) {
    if (!isErrno(error, 'ENOTDIR', 'ELOOP')) throw error;
    throw notADirectoryError(Buffer.from(target.name).toString());
  }
  yield* copier.entriesOf(from, to);
  setDirectoryAttributes(to, metadata, copier.noteRefused);
}
