import { createWriteStream } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../../errors.js';
import type { CopyPlace, CopyTotals } from '../../rootfs/index.js';
import { type Close, GrowingFile, gzipUnsupported, thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { type RestoreDeps, withFrozen } from '../layers/index.js';
import { findContainer, withWorkKey } from '../store/index.js';

/** One end of a copy: a path on this machine or in a container. */
export interface CopyEnd {
  /** Name, ID or unique prefix of one; undefined for this machine. */
  readonly container: string | undefined;
  readonly path: string;
}

export interface CopyFilesRequest {
  readonly from: CopyEnd;
  readonly to: CopyEnd;
  /** Copies the target of a link instead of the link. */
  readonly followLink: boolean;
  readonly signal: AbortSignal;
}

type CopyDeps = Pick<OperationDeps, 'metadata' | 'snapshots' | 'rootfs' | 'progress'>;

/**
 * Copies files between this machine and containers, or between containers, even running ones. Touches nothing outside
 * the containers' roots or, on this machine, the destination. Syncs files copied into a container. Throws
 * NotFoundError, UsageError, SyscallError, AbortError.
 */
export async function copyFiles(deps: CopyDeps, request: CopyFilesRequest): Promise<CopyTotals> {
  const { from, to, followLink, signal } = request;
  const totals = await deps.rootfs.copyPath({
    from: await placeOf(deps, from),
    to: await placeOf(deps, to),
    followLink,
    signal,
    onNote: (line) => deps.progress.note(line),
  });
  if (to.container !== undefined) await deps.snapshots.sync();
  return totals;
}

/** Writes a snapshot of a path in a container as a tar. Throws the errors of `copyFiles`, and LayerFormatError. */
export async function copyFilesToTar(
  deps: CopyDeps & Pick<OperationDeps, 'packTree'>,
  {
    from,
    output,
    followLink,
    signal,
  }: {
    readonly from: CopyEnd & { readonly container: string };
    readonly output: Writable;
    readonly followLink: boolean;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { id } = await findContainer(deps, from.container);
  await withFrozen(deps, { id, signal }, async (frozen) => {
    const place = await deps.rootfs.locatePath({ root: frozen.path, path: from.path }, { followLink });
    try {
      const packed = await deps.packTree({ root: place.parent, name: place.name, output, signal });
      for (const note of packed.notes) deps.progress.note(note);
    } finally {
      place.close();
    }
  });
}

/**
 * Unpacks a tar (plain, gzip, zstd, xz, bzip2) into a directory of a container; links to directories are followed
 * inside the container. The whole tar is first unpacked elsewhere, so a bad one changes nothing. Throws the errors of
 * `copyFiles`, and LayerFormatError, PathEscapeError, UnsupportedMediaTypeError, CommandError.
 */
export async function copyFilesFromTar(
  deps: CopyDeps & Pick<RestoreDeps, 'createApplier'>,
  {
    source,
    to,
    signal,
  }: {
    readonly source: Readable;
    readonly to: CopyEnd & { readonly container: string };
    readonly signal: AbortSignal;
  },
): Promise<CopyTotals> {
  const target = await placeOf(deps, to);
  const place = await deps.rootfs.locatePath(target, { followLink: true });
  place.close();
  if (place.directory === undefined) {
    throw new UsageError(`${to.path} is not a directory`, { hint: 'a tar is unpacked into a directory' });
  }
  return withWorkKey(deps, signal, async (key) => {
    const work = await deps.snapshots.prepare(key, undefined);
    const [tar, tree] = [join(work, 'tar'), join(work, 'tree')];
    const { bytes, close } = await gzipUnsupported(source as AsyncIterable<Buffer>, signal);
    try {
      await pipeline(bytes, createWriteStream(tar), { signal });
    } finally {
      await close();
    }
    await mkdir(tree);
    await unpack(deps, { tar, tree, signal });
    const totals = await deps.rootfs.copyPath({
      from: { root: tree, path: '/.' },
      to: target,
      followLink: false,
      fromTar: true,
      signal,
      onNote: (line) => deps.progress.note(line),
    });
    await deps.snapshots.sync();
    return totals;
  });
}

async function unpack(
  deps: Pick<RestoreDeps, 'createApplier' | 'progress'>,
  { tar, tree, signal }: { readonly tar: string; readonly tree: string; readonly signal: AbortSignal },
): Promise<void> {
  const closes: Close[] = [];
  await thenCloseAll(async () => {
    const file = await open(tar, 'r');
    closes.push(() => file.close());
    const applier = await deps.createApplier();
    closes.push(() => applier.close());
    const { size } = await file.stat();
    const { notes } = await applier.apply({
      fd: file.fd,
      growing: GrowingFile.complete(size),
      size,
      root: tree,
      plainNames: true,
      signal,
    });
    for (const note of notes) deps.progress.note(note);
  }, closes);
}

async function placeOf(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots'>,
  { container, path }: CopyEnd,
): Promise<CopyPlace> {
  if (container === undefined) return { root: undefined, path };
  const { id } = await findContainer(deps, container);
  return { root: deps.snapshots.containerPath(id), path };
}
