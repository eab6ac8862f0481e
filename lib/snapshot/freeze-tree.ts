import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { SubvolumeError } from '../errors.js';
import { readMetadata, runInSlices, setDirectoryAttributes, TreeCopier, type Metadata } from '../rootfs/index.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  destroySubvolume,
  directoryPath,
  listNestedSubvolumes,
  mkdirAt,
  OPEN_DIRECTORY,
  openAt,
  setSubvolumeReadOnly,
  setTimesAt,
  snapshotSubvolume,
  statAt,
  subvolumeId,
  subvolumeInfo,
  unlinkAt,
  type NestedSubvolume,
} from '../sys/index.js';
import { clearMarks, hasMarks, ordinaryTraits } from './inode-traits.js';
import { openInside, openNested, unlockDirectory } from './nested.js';

/** Attempts at a snapshot while nested subvolumes are being created or removed. */
const ATTEMPTS = 10;

/**
 * Creates the read-only snapshot `target` of the container with the root `source`, with only what a layer can express:
 * nested subvolumes become real directories with their files (sharing extents) instead of the empty ones of btrfs, and
 * inode flags and btrfs properties are dropped. The container stays unchanged. Without any of these, the cost is two
 * tree searches. `remove` deletes `target` after a failure. Throws SyscallError, SubvolumeError.
 */
export async function freezeTree(source: number, target: string, remove: () => Promise<void>): Promise<void> {
  const parent = openAt(AT_FDCWD, dirname(target), OPEN_DIRECTORY);
  try {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const nested = listNestedSubvolumes(source, subvolumeId(source));
      await snapshotSubvolume(source, parent, basename(target), { readOnly: nested.length === 0 });
      let done = false;
      try {
        done = await complete(source, { parent, name: basename(target), nested });
        if (done) return;
      } finally {
        if (!done) await remove();
      }
    }
    throw new SubvolumeError('subvolumes inside the container keep being created or moved', {
      path: target,
      hint: 'try again when the command that does this has ended',
    });
  } finally {
    closeSync(parent);
  }
}

/** Reduces a snapshot to what a layer can express. Returns false when the nested subvolumes have changed since `nested` was read. */
async function complete(
  source: number,
  {
    parent,
    name,
    nested,
  }: { readonly parent: number; readonly name: string; readonly nested: readonly NestedSubvolume[] },
): Promise<boolean> {
  const id = subvolumeId(source);
  const frozen = openAt(parent, name, OPEN_DIRECTORY);
  try {
    const { mtimeNs } = statAt(frozen, '');
    const aside = `.imgtool-${randomBytes(16).toString('hex')}`;
    const copies = await snapshotNested(source, { frozen, aside, nested });
    try {
      const now = listNestedSubvolumes(source, id);
      if (copies === undefined || !isSame(nested, now)) return false;
      const [after, ordinary] = [lastForeignTransaction(source), ordinaryTraits(parent)];
      if (hasMarks(frozen, after, ordinary)) {
        await setSubvolumeReadOnly(frozen, false);
        await clearMarks(frozen, after, ordinary);
      }
      if (copies.size > 0) {
        await replaceStubs(frozen, { id, nested, copies });
        await removeAside(frozen, aside, copies);
        setTimesAt(frozen, '.', mtimeNs);
      }
    } finally {
      for (const fd of copies?.values() ?? []) closeSync(fd);
    }
    await setSubvolumeReadOnly(frozen, true);
    return true;
  } finally {
    closeSync(frozen);
  }
}

/** The last transaction whose data a subvolume has from its origin rather than from itself; -1 when it is not a snapshot. */
export function lastForeignTransaction(fd: number): bigint {
  const { parentUuid, originTransaction } = subvolumeInfo(fd);
  return parentUuid === undefined ? -1n : originTransaction;
}

function isSame(before: readonly NestedSubvolume[], now: readonly NestedSubvolume[]): boolean {
  return (
    before.length === now.length &&
    before.every((entry, i) => {
      const other = now[i]!;
      return entry.id === other.id && entry.directory === other.directory && entry.name.equals(other.name);
    })
  );
}

/** Opens snapshots of the nested subvolumes, by the ID of the originals; undefined when one has disappeared. */
async function snapshotNested(
  source: number,
  options: { readonly frozen: number; readonly aside: string; readonly nested: readonly NestedSubvolume[] },
): Promise<Map<bigint, number> | undefined> {
  const { frozen, aside, nested } = options;
  const copies = new Map<bigint, number>();
  if (nested.length === 0) return copies;
  const fail = (): void => copies.forEach((fd) => closeSync(fd));
  try {
    unlockDirectory(frozen);
    mkdirAt(frozen, aside, 0o700);
    for (const { id } of nested) {
      const fd = openNested(source, nested, id);
      if (fd === undefined) {
        fail();
        return undefined;
      }
      try {
        const place = openInside(frozen, Buffer.from(aside));
        try {
          await snapshotSubvolume(fd, place, String(id), { readOnly: false });
          const copy = openAt(place, String(id), OPEN_DIRECTORY);
          copies.set(id, copy);
          // An immutable directory could not be removed.
          unlockDirectory(copy);
        } finally {
          closeSync(place);
        }
      } finally {
        closeSync(fd);
      }
    }
    return copies;
  } catch (error) {
    fail();
    throw error;
  }
}

/** Copies the files of each snapshot into the frozen tree's empty stub directory, parents first. */
async function replaceStubs(
  frozen: number,
  options: {
    readonly id: bigint;
    readonly nested: readonly NestedSubvolume[];
    readonly copies: ReadonlyMap<bigint, number>;
  },
): Promise<void> {
  const paths = new Map<bigint, Buffer>([[options.id, Buffer.alloc(0)]]);
  for (const { id, parentId, directory, name } of options.nested) {
    const copy = options.copies.get(id)!;
    // These snapshots do not change, so inode numbers remain valid.
    const tree = parentId === options.id ? frozen : options.copies.get(parentId)!;
    const inside = Buffer.concat([paths.get(parentId)!, directoryPath(tree, subvolumeId(tree), directory)]);
    paths.set(id, Buffer.concat([inside, name, Buffer.from('/')]));
    const parent = openInside(frozen, inside);
    try {
      await replaceStub(parent, name, copy);
    } finally {
      closeSync(parent);
    }
  }
}

async function replaceStub(parent: number, name: Buffer, copy: number): Promise<void> {
  const { mtimeNs } = statAt(parent, '');
  unlockDirectory(parent);
  unlinkAt(parent, name, AT_REMOVEDIR);
  mkdirAt(parent, name, 0o700);
  const target = openAt(parent, name, OPEN_DIRECTORY);
  try {
    const metadata: Metadata = readMetadata(copy, '');
    const copier = new TreeCopier({ devices: true, sockets: true, fromTar: false, onNote: () => undefined });
    await runInSlices(copier.entriesOf(copy, target));
    setDirectoryAttributes(target, metadata, () => undefined);
  } finally {
    closeSync(target);
  }
  setTimesAt(parent, '.', mtimeNs);
}

async function removeAside(frozen: number, aside: string, copies: ReadonlyMap<bigint, number>): Promise<void> {
  const place = openInside(frozen, Buffer.from(aside));
  try {
    for (const id of copies.keys()) await destroySubvolume(place, String(id));
  } finally {
    closeSync(place);
  }
  unlinkAt(frozen, aside, AT_REMOVEDIR);
}
