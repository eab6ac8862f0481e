import { closeSync, readSync } from 'node:fs';
import {
  runInSlices,
  Suspects,
  TreeComparison,
  walkChanges,
  type Change,
  type PartialDirectory,
} from '../rootfs/index.js';
import { SyscallError } from '../errors.js';
import {
  AT_FDCWD,
  OPEN_DIRECTORY,
  openAt,
  openMemoryFile,
  SEND_NO_FILE_DATA,
  sendSubvolume,
  subvolumeInfo,
  subvolumeOrigin,
  type SubvolumeInfo,
  type SubvolumeOrigin,
} from '../sys/index.js';
import { InodePaths } from './inode-paths.js';
import { SendReplay } from './send/replay.js';
import { SendStreamParser, SendSurprise } from './send/stream.js';
import type { ChangesInput, SnapshotOrigin } from './types.js';

/** Implements `changes`. Throws SyscallError, AbortError. */
export async function findChanges(input: ChangesInput): Promise<Change[]> {
  const { lower, upper, signal, onNote, recordedOrigins } = input;
  if (lower === undefined) return walkChanges(lower, upper, { signal });
  try {
    return await sendChanges({ lower, upper, signal, recordedOrigins });
  } catch (error) {
    if (!(error instanceof SendSurprise || error instanceof SyscallError)) throw error;
    onNote?.(`comparing every file, which takes longer: ${error.message}`);
    return walkChanges(lower, upper, { signal });
  }
}

/**
 * Finds the changes with `btrfs send` alone. Both must be read-only subvolumes, one a snapshot of the other or both of
 * a third. Throws SendSurprise when they are not or anything else is unexpected, SyscallError, AbortError.
 */
export async function sendChanges(input: {
  readonly lower: string;
  readonly upper: string;
  readonly signal?: AbortSignal | undefined;
  readonly recordedOrigins?: ChangesInput['recordedOrigins'];
}): Promise<Change[]> {
  const opened: number[] = [];
  let comparison: TreeComparison | undefined;
  try {
    for (const path of [input.lower, input.upper]) opened.push(openAt(AT_FDCWD, path, OPEN_DIRECTORY));
    const [lower, upper] = opened as [number, number];
    const info = subvolumeInfo(lower);
    await checkRelated([info, subvolumeInfo(upper)], originsBy(lower), input.recordedOrigins);
    const replay = await readStream(upper, info.id, opened);
    input.signal?.throwIfAborted();
    comparison = new TreeComparison(lower, upper, { onPartial: checkComplete });
    await runInSlices(comparison.visit(replay.suspects()), input.signal);
    await visitLinks(comparison, lower, upper, input.signal);
    return comparison.changes();
  } finally {
    comparison?.close();
    opened.forEach((fd) => closeSync(fd));
  }
}

/** Finds the origin of a subvolume by its UUID; undefined when unknown. */
type FindOrigin = (uuid: string) => Omit<SubvolumeOrigin, 'uuid'> | undefined;

function originsBy(fd: number): FindOrigin {
  return (uuid) => subvolumeOrigin(fd, uuid);
}

/**
 * Throws SendSurprise unless one tree is a snapshot of the other (directly or through others), or both are snapshots of
 * the same state of one tree. Otherwise an inode number might denote two different files, which `send` would confuse.
 */
async function checkRelated(
  trees: readonly [SubvolumeInfo, SubvolumeInfo],
  present: FindOrigin,
  recorded: ChangesInput['recordedOrigins'],
): Promise<void> {
  if (trees.some(({ readOnly }) => !readOnly)) throw new SendSurprise('a tree is not read-only');
  if (areRelated(trees, present)) return;
  // The origin of a removed subvolume remains valid, so its record completes the chain.
  const gone = new Map((await recorded?.())?.map((origin) => [origin.uuid, origin]));
  const known: FindOrigin = (uuid) => present(uuid) ?? asOrigin(gone.get(uuid));
  if (gone.size > 0 && areRelated(trees, known)) return;
  throw new SendSurprise('neither tree is a snapshot of the other');
}

function areRelated([lower, upper]: readonly [SubvolumeInfo, SubvolumeInfo], find: FindOrigin): boolean {
  if (descends(upper, lower, find) || descends(lower, upper, find)) return true;
  const untouched = [lower, upper].every((tree) => tree.changeTransaction <= tree.originTransaction);
  return lower.parentUuid !== undefined && lower.parentUuid === upper.parentUuid && untouched;
}

/** Ignores an invalid record. */
function asOrigin(recorded: SnapshotOrigin | undefined): ReturnType<FindOrigin> {
  if (recorded === undefined || !Number.isSafeInteger(recorded.transaction)) return undefined;
  return { parentUuid: recorded.parentUuid, originTransaction: BigInt(recorded.transaction) };
}

/** True when `tree` is a snapshot of `ancestor`, directly or through others. Throws SendSurprise when `ancestor` has changed since. */
function descends(tree: SubvolumeInfo, ancestor: SubvolumeInfo, find: FindOrigin): boolean {
  let child: ReturnType<FindOrigin> = tree;
  const seen = new Set<string>();
  while (child?.parentUuid !== undefined && child.parentUuid !== ancestor.uuid) {
    if (seen.has(child.parentUuid)) return false;
    seen.add(child.parentUuid);
    child = find(child.parentUuid);
  }
  if (child?.parentUuid === undefined) return false;
  if (ancestor.changeTransaction <= child.originTransaction) return true;
  throw new SendSurprise('the lower tree was written to after the snapshot was made');
}

/** Makes the kernel write the stream, without file data, into memory, and parses it. */
async function readStream(upper: number, parentRootId: bigint, opened: number[]): Promise<SendReplay> {
  const outFd = openMemoryFile('send-stream');
  opened.push(outFd);
  await sendSubvolume({ fd: upper, parentRootId, cloneSources: [parentRootId], outFd, flags: SEND_NO_FILE_DATA });
  const parser = new SendStreamParser();
  const replay = new SendReplay();
  const block = Buffer.allocUnsafe(1 << 18);
  for (let at = 0; ;) {
    const length = readSync(outFd, block, 0, block.length, at);
    if (length === 0) break;
    for (const command of parser.push(block.subarray(0, length))) replay.apply(command);
    at += length;
  }
  if (!parser.atBoundary) throw new SendSurprise('the stream ends inside a command');
  return replay;
}

/**
 * The size of a btrfs directory is twice the length of its names. If it has grown by other names than those found, it
 * contains something that `send` does not report: a nested subvolume.
 */
function checkComplete({ lower, upper, namesGrowth }: PartialDirectory): void {
  if (upper.size - lower.size !== 2n * BigInt(namesGrowth)) throw new SendSurprise('a directory contains a subvolume');
}

/** Visits all paths of an inode, of which the stream names only one, until no new ones are found. */
async function visitLinks(
  comparison: TreeComparison,
  lower: number,
  upper: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const paths = { lower: new InodePaths(lower), upper: new InodePaths(upper) };
  const done = new Set<string>();
  for (;;) {
    const more = new Suspects();
    let any = false;
    for (const { side, ino } of comparison.linkedInodes()) {
      const key = `${side} ${ino}`;
      if (done.has(key)) continue;
      done.add(key);
      for (const path of paths[side].of(ino)) {
        if (comparison.hasLinked(path)) continue;
        more.add(path, { data: 'whole' });
        any = true;
      }
    }
    if (!any) return;
    // Only some names are visited here, so the sizes of directories prove nothing.
    await runInSlices(comparison.visit(more, { partial: false }), signal);
  }
}
