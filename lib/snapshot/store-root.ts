import { readFile, realpath, statfs, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { NotFoundError, StoreError } from '../errors.js';
import { checkOwner } from './check-owner.js';
import type { OpenStoreOptions, PoolBacking } from './types.js';
import { makeDirectory, TEMPORARY_PREFIX, writeFileAtomic, unless } from '../util/index.js';

const VERSION = 1;
const BTRFS_SUPER_MAGIC = 0x9123683e;
const DIRECTORIES = [
  'blobs',
  'blobs/sha256',
  'ingest',
  'uploads',
  'steps',
  'cache',
  'layers',
  'containers',
  'images',
  'work',
  'trash',
  'locks',
];

/** Default reserve: a nearly full btrfs gets slow and then stuck. Bytes. */
const DEFAULT_RESERVE = 2 ** 30;

export interface StoreRoot {
  /** Absolute path without symbolic links. */
  readonly root: string;
  readonly version: 1;
  /** Undefined when the root is on a btrfs of the host. */
  readonly pool: PoolBacking | undefined;
  /** Space to keep free. Bytes. */
  readonly reserve: number;
}

/**
 * Opens the store at `root` and mounts its pool. With `create`, first creates a missing store: a subvolume on btrfs, an
 * embedded pool elsewhere. Safe for concurrent processes. Throws NotFoundError, StoreError, CommandError.
 */
export async function openStore(root: string, options: OpenStoreOptions): Promise<StoreRoot> {
  const path = resolve(root);
  const found = await readStore(path, options.reserve);
  if (found === undefined) checkRoot(path);
  const store = found ?? (await makeOrMount(path, options));
  if (store.pool !== undefined && 'file' in store.pool && !(await exists(store.pool.file)))
    throw new StoreError(`the file of the store's pool, ${store.pool.file}, was deleted while it is mounted`, {
      path: store.pool.file,
      hint: `copy what you need out of ${path} now: it is lost when ${path} is unmounted`,
    });
  await makeDirectories(store.root);
  return store;
}

/**
 * Finds the store for commands that only read. Creates nothing, and loads native code only to mount a pool. Throws
 * NotFoundError when there is no store yet, StoreError.
 */
export async function findStore(
  root: string,
  options: Pick<OpenStoreOptions, 'reserve' | 'onNote' | 'signal'> = {},
): Promise<StoreRoot> {
  const path = resolve(root);
  const found = await readStore(path, options.reserve);
  if (found !== undefined) return found;
  const { hasPool } = await import('./pool-file.js');
  if (!(await hasPool(path))) throw noStoreError(path);
  checkRoot(path);
  return makeOrMount(path, { ...options, create: false });
}

async function makeOrMount(path: string, options: OpenStoreOptions): Promise<StoreRoot> {
  if (!options.create && !(await (await import('./pool-file.js')).hasPool(path))) throw noStoreError(path);
  const { makeSubvolumeRoot, makePool, mountPool, withPoolLock } = await import('./pool.js');
  const { hasPool } = await import('./pool-file.js');
  if (options.create) makeDirectory(dirname(path), 0o755);
  return withPoolLock({ root: path, onNote: options.onNote, signal: options.signal }, async () => {
    const found = await readStore(path, options.reserve);
    if (found !== undefined) return found;
    let pool: PoolBacking | undefined;
    if (await hasPool(path)) {
      pool = await mountPool(path, options.onNote);
      const mounted = await readStore(path, options.reserve);
      if (mounted !== undefined) return mounted;
    } else {
      if (!options.create) throw noStoreError(path);
      await refuseForeign(path);
      if (options.device === undefined && options.size === undefined && (await isOnBtrfs(path)))
        await makeSubvolumeRoot(path);
      else {
        await makePool(path, options);
        pool = await mountPool(path, options.onNote);
      }
    }
    await writeFileAtomic(
      join(path, 'store.json'),
      `${JSON.stringify({ version: VERSION, ...(pool === undefined ? {} : { pool }) }, undefined, 2)}\n`,
    );
    return (await readStore(path, options.reserve))!;
  });
}

async function readStore(path: string, reserve: number | undefined): Promise<StoreRoot | undefined> {
  checkOwner(path);
  const file = join(path, 'store.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ENOTDIR')
      throw new StoreError(`${path} is not a directory`, {
        path,
        hint: 'choose another directory with --root',
        cause: error,
      });
    if (code === 'EACCES' || code === 'EPERM') throw noRootRightsError(path, error);
    throw new StoreError(`${file} cannot be read: ${code ?? String(error)}`, { path: file, cause: error });
  }
  let document: { readonly version?: unknown; readonly pool?: PoolBacking } | null;
  try {
    document = JSON.parse(text) as typeof document;
  } catch (error) {
    throw new StoreError(`${file} is damaged: it is not JSON`, { path: file, cause: error });
  }
  if (document?.version !== VERSION)
    throw new StoreError(
      `${file} has version ${JSON.stringify(document?.version)}, which this imgtool does not support`,
      {
        path: file,
        hint: 'use the newer imgtool that created this store, or another --root',
      },
    );
  if ((await statfs(path)).type !== BTRFS_SUPER_MAGIC)
    throw new StoreError(`the store at ${path} is not on btrfs`, {
      path,
      hint: 'it was copied here without its file system: move it away and pull again',
    });
  return { root: await realpath(path), version: VERSION, pool: document.pool, reserve: reserve ?? DEFAULT_RESERVE };
}

/** Never mixes a store with other files. Remains of an own crash are recognized by their names. */
async function refuseForeign(path: string): Promise<void> {
  const names = (await unless(readdir(path), 'ENOENT')) ?? [];
  if (names.every((name) => name.startsWith(TEMPORARY_PREFIX))) return;
  throw new StoreError(`${path} is not a store and not empty`, {
    path,
    hint: 'choose another directory with --root, or empty this one',
  });
}

async function isOnBtrfs(path: string): Promise<boolean> {
  const place = (await exists(path)) ? path : dirname(path);
  return (await statfs(place)).type === BTRFS_SUPER_MAGIC;
}

async function makeDirectories(root: string): Promise<void> {
  const present = new Set(await readdir(root));
  for (const name of DIRECTORIES)
    if (!present.has(name.split('/')[0]!) || name.includes('/')) makeDirectory(join(root, name));
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function checkRoot(path: string): void {
  if (process.geteuid?.() !== 0) throw noRootRightsError(path);
}

function noRootRightsError(path: string, cause?: unknown): StoreError {
  return new StoreError(`the store at ${path} requires root`, {
    path,
    cause,
    hint: 'run this as root (sudo); copy, sync, tags and inspect docker://… work without root',
  });
}

function noStoreError(path: string): NotFoundError {
  return new NotFoundError(`there is no store at ${path} yet`, {
    kind: 'store',
    subject: path,
    hint: 'create it with: imgtool pull IMAGE',
  });
}
