import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ImgtoolError } from '../errors.js';
import type { BuildRequest, BuildResult, BuildSources, RemoteChangeDeps } from '../operations/index.js';
import type {
  CacheMountArtifacts,
  CacheMountDeps,
  RemoteCache,
  RemoteImageOrder,
} from '../operations/build-remote/index.js';
import { parseReference } from '../spec/index.js';
import { homeDirectory, orCloseAll, thenCloseAll } from '../util/index.js';
import { remoteBuildDrivers } from './build-drivers.js';
import { spoolDirectory } from './common.js';
import type { Drivers } from './drivers.js';

/** Reports whether a build has no usable store. */
async function lacksStore(drivers: Drivers): Promise<boolean> {
  return process.geteuid!() !== 0 || (await drivers.localIfThere()) === undefined;
}

/**
 * Builds without a store if the remote cache has all steps or there is no usable store. Resolves with undefined if that
 * is impossible: an uncached step has a RUN, layers are to be squashed, or bases may come only from the store. Throws
 * the errors of `buildWithoutStore`.
 */
export async function buildRemote(
  drivers: Drivers,
  sources: BuildSources,
  {
    orders,
    destinations,
  }: {
    readonly orders: readonly (RemoteImageOrder & { readonly request: Pick<BuildRequest, 'pull'> })[];
    readonly destinations: readonly string[];
  },
): Promise<BuildResult | undefined> {
  if (orders.some(({ request }) => request.pull === 'never')) return undefined;
  const { buildWithoutStore, canBuildWithoutStore } = await import('../operations/build-remote/index.js');
  for (;;) {
    const found = await Promise.all(orders.map(async ({ cache }) => cache?.found()));
    if (!found.every((steps) => steps?.isWhole === true) && !(await lacksStore(drivers))) return undefined;
    if (!orders.every(({ request }, i) => canBuildWithoutStore(request, sources.names, found[i]))) return undefined;
    try {
      return await buildWithoutStore(await remoteDeps(drivers), sources, { orders, destinations });
    } catch (error) {
      orders[0]?.request.signal.throwIfAborted();
      // Retries without the layers that a cache failed to deliver.
      const dropped = orders.filter(({ cache }) => cache?.dropFaulty() === true);
      if (dropped.length === 0) throw error;
    }
  }
}

/** The user's cache directory for imgtool; undefined if another user could write to it. */
export function userCache(env: NodeJS.ProcessEnv): string | undefined {
  const base = env.XDG_CACHE_HOME ?? join(homeDirectory(env), '.cache');
  if (!base.startsWith('/')) return undefined;
  const path = join(base, 'imgtool');
  // With another user's HOME (sudo), an existing parent may belong to that user.
  for (let at = path; ; at = dirname(at)) {
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats !== undefined) {
      const isOwn = stats.uid === process.geteuid!() && (stats.mode & 0o022) === 0;
      return stats.isDirectory() && isOwn ? path : undefined;
    }
    if (at === '/') return undefined;
  }
}

/** Repositories of `--cache-from` and `--cache-to`. */
export interface CacheRepositories {
  readonly from: readonly string[];
  readonly to: readonly string[];
}

/**
 * Opens and reads the remote cache of a build; the caller closes it. Undefined without one, or, with a note, when the
 * documents of a base cannot be read. Throws InvalidReferenceError, AbortError.
 */
export async function openRemoteCache(
  drivers: Drivers,
  sources: BuildSources,
  {
    request,
    repositories,
  }: {
    readonly request: BuildRequest;
    readonly repositories: CacheRepositories;
  },
): Promise<RemoteCache | undefined> {
  const [from, to] = [repositories.from, repositories.to].map((names) => names.map((name) => parseReference(name)));
  if (from!.length + to!.length === 0) return undefined;
  const { RemoteCache } = await import('../operations/build-remote/index.js');
  const cache = new RemoteCache(await remoteDeps(drivers), sources, {
    request,
    options: { from: from!, to: to!, ttlMs: request.cacheTtlMs },
  });
  try {
    await orCloseAll(() => cache.look(), [() => cache.close()]);
    return cache;
  } catch (error) {
    request.signal.throwIfAborted();
    if (!(error instanceof ImgtoolError)) throw error;
    drivers.progress.note(`warning: the remote cache is not used: ${error.message}`);
    return undefined;
  }
}

/** Opens the repositories for cache mounts; the caller closes them. Throws InvalidReferenceError. */
export async function openCacheMounts(
  drivers: Drivers,
  deps: Omit<CacheMountDeps, 'temporaryDirectory'>,
  { repositories, signal }: { readonly repositories: CacheRepositories; readonly signal: AbortSignal },
): Promise<CacheMountArtifacts> {
  const { CacheMountArtifacts } = await import('../operations/build-remote/index.js');
  const temporaryDirectory = spoolDirectory(drivers.settings.env);
  return new CacheMountArtifacts(
    { ...deps, temporaryDirectory },
    {
      from: repositories.from.map((name) => parseReference(name)),
      to: repositories.to.map((name) => parseReference(name)),
      signal,
    },
  );
}

/** Uploads the steps of an image built in the store. Throws AbortError. */
export async function keepSteps(
  drivers: Drivers,
  cache: RemoteCache,
  {
    result,
    request,
    isPushed,
  }: {
    readonly result: Pick<BuildResult, 'id' | 'digest'>;
    readonly request: BuildRequest;
    readonly isPushed: boolean;
  },
): Promise<void> {
  const { signal } = request;
  const [deps, { openSource }] = await Promise.all([drivers.local(), drivers.transports()]);
  const images = await deps.metadata.images.ofImage(result.id);
  const record = images.find(({ manifest }) => manifest.digest === result.digest);
  if (record === undefined || request.squash) return;
  const { readImageConfig } = await import('../operations/store/index.js');
  const config = await readImageConfig(deps, record);
  const dates = (config.history ?? []).flatMap(({ created, empty_layer: isEmpty }) =>
    isEmpty === true ? [] : [created ?? config.created ?? ''],
  );
  const source = await openSource({ transport: 'store', name: result.id }, { signal });
  const layers = record.layers.map((blob, i) => ({ blob, diffId: record.diffIds[i]! }));
  const pushedTo = isPushed ? request.references : [];
  const keep = (): Promise<void> => cache.keep({ layers, dates, open: (blob) => source.blob(blob), pushedTo });
  await thenCloseAll(keep, [() => source.close()]);
}

/** The drivers for work without a store. */
export async function remoteDeps(drivers: Drivers): Promise<RemoteChangeDeps> {
  return {
    ...(await drivers.transports()),
    ...remoteBuildDrivers(),
    fullName: (name: string) => drivers.fullName(name),
    cacheDirectory: userCache(drivers.settings.env),
  };
}
