import { createHash, randomBytes } from 'node:crypto';
import type { RunMount } from '../../dockerfile/index.js';
import type { VolumeMount } from '../../runtime/index.js';
import { closeAll, orCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import type { CacheMountKeeper } from './types.js';

type CacheDeps = Pick<OperationDeps, 'metadata' | 'snapshots' | 'rootfs'>;

/** A cache mounted in a container; call `release` after the run. */
interface MountedCache {
  readonly volume: VolumeMount;
  release(): Promise<void>;
}

/** A cache mount with absolute paths. */
interface CacheMount {
  readonly id: string;
  readonly readOnly: boolean;
  readonly sharing: RunMount['sharing'] | undefined;
  /** Mode of the directory when it is created. */
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly target: string;
  /** Directory inside the cache to mount; undefined: the whole cache. */
  readonly source?: string | undefined;
  /** Fills the cache when it is created. */
  readonly fill?: ((directory: string) => Promise<void>) | undefined;
}

/** Name of the cache in the store. */
function cacheKey(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}

/**
 * Opens the cache, creating it if needed. `locked` waits until no other build holds it; `private` uses a temporary copy
 * while another build holds it; `shared` never waits. Call with the store locked. Throws SubvolumeError, UsageError.
 */
export async function mountCache(
  deps: CacheDeps,
  mount: CacheMount,
  {
    keeper,
    isHeld,
    signal,
    onWait,
  }: {
    readonly keeper: CacheMountKeeper | undefined;
    /** True if this run already holds the cache at another target: it must not wait for itself. */
    readonly isHeld: boolean;
    readonly signal: AbortSignal;
    readonly onWait: () => void;
  },
): Promise<MountedCache> {
  const key = cacheKey(mount.id);
  const directory = await openCache(deps, key, mount, { keeper, signal });
  if (!mount.readOnly) keeper?.used(key, mount.id);
  if (isHeld) return { volume: await volumeOf(deps, directory, mount), release: () => Promise.resolve() };
  const name = `cache-${key}`;
  const sharing = mount.sharing ?? 'shared';
  const { metadata } = deps;
  const mode = sharing === 'shared' ? 'shared' : 'exclusive';
  const lock =
    sharing === 'private' ? await metadata.tryLock(name, mode) : await metadata.lock(name, { mode, signal, onWait });
  if (lock === undefined) return copyOf(deps, key, mount, signal);
  return orCloseAll(async () => {
    return { volume: await volumeOf(deps, directory, mount), release: () => Promise.resolve(lock.release()) };
  }, [() => lock.release()]);
}

/** Returns its directory, created and filled under a lock, and records the use. */
async function openCache(
  { metadata, snapshots }: CacheDeps,
  key: string,
  { id, fill, mode, uid, gid }: CacheMount,
  { keeper, signal }: { readonly keeper: CacheMountKeeper | undefined; readonly signal: AbortSignal },
): Promise<string> {
  const making = await metadata.lock(`cache-made-${key}`, { mode: 'exclusive', signal });
  try {
    const now = new Date().toISOString();
    const record = await metadata.caches.get(key);
    // Without a record, filling did not finish.
    if (record === undefined) await snapshots.removeCache(key);
    const open = (): Promise<string> => snapshots.openCache(key, { mode: mode ?? 0o755, uid: uid ?? 0, gid: gid ?? 0 });
    let directory = await open();
    const restored = record === undefined ? await keeper?.restore(key, { id, directory }) : undefined;
    if (restored === 'broken') {
      await snapshots.removeCache(key);
      directory = await open();
    }
    if (record === undefined && restored !== 'done') await fill?.(directory);
    await metadata.caches.put(key, { version: 1, key, id, created: record?.created ?? now, used: now });
    return directory;
  } finally {
    making.release();
  }
}

async function copyOf(deps: CacheDeps, key: string, mount: CacheMount, signal: AbortSignal): Promise<MountedCache> {
  const workKey = randomBytes(16).toString('hex');
  const alive = await deps.metadata.lock(`work-${workKey}`, { mode: 'exclusive', signal });
  const release = (): Promise<void> => closeAll([() => deps.snapshots.removeWork(workKey), () => alive.release()]);
  return orCloseAll(async () => {
    return { volume: await volumeOf(deps, await deps.snapshots.copyCache(workKey, key), mount), release };
  }, [release]);
}

/** Resolves a source inside the cache: links left by a build must not lead outside. */
async function volumeOf(
  { rootfs }: CacheDeps,
  directory: string,
  { target, source, readOnly }: CacheMount,
): Promise<VolumeMount> {
  if (source === undefined) return { source: directory, target, readOnly };
  await rootfs.makeDirectories(directory, source, {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtimeNs: BigInt(Date.now()) * 1_000_000n,
  });
  return { source: await rootfs.realPath(directory, source), target, readOnly };
}
