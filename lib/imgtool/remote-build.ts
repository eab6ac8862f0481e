import { homeDirectory } from '../util/index.js';
import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BuildRequest, BuildSources, RemoteBuildResult } from '../operations/index.js';
import { formatReference } from '../spec/index.js';
import { remoteBuildDrivers } from './build-drivers.js';
import type { BuildOutput } from './build-outputs.js';
import type { Drivers } from './drivers.js';

/**
 * Where the result of a build goes, when it goes to registries, layouts and archives only: `docker://REF`, …; undefined: it is to be
 * in the store.
 */
export function remoteDestinations(
  request: Pick<BuildRequest, 'references'>,
  { outputs, push }: { readonly outputs: readonly BuildOutput[]; readonly push: boolean },
): string[] | undefined {
  const pushed = push ? request.references.map((reference) => `docker://${formatReference(reference)}`) : [];
  const [name] = request.references.map(formatReference);
  const written = outputs.map(({ type, path }) => {
    if (type === 'oci')
      return `oci-archive:${path}${name === undefined ? '' : `:${/:([^:/]+)$/.exec(name)?.[1] ?? 'latest'}`}`;
    return type === 'docker' ? `docker-archive:${path}${name === undefined ? '' : `:${name}`}` : undefined;
  });
  const all = [...pushed, ...written];
  return all.length > 0 && all.every((destination) => destination !== undefined) ? all : undefined;
}

/** Whether a build can do without a store, because there is none that it could use. */
export async function lacksStore(drivers: Drivers): Promise<boolean> {
  return process.geteuid!() !== 0 || (await drivers.localIfThere()) === undefined;
}

/**
 * Builds without a store. Resolves with undefined when a stage that is needed has a RUN, or layers are to be squashed. Throws as
 * `buildWithoutStore`.
 */
export async function buildRemote(
  drivers: Drivers,
  sources: BuildSources,
  { request, destinations }: { readonly request: BuildRequest; readonly destinations: readonly string[] },
): Promise<RemoteBuildResult | undefined> {
  const { buildWithoutStore, canBuildWithoutStore } = await import('../operations/build-remote/index.js');
  if (!canBuildWithoutStore(request, sources.names)) return undefined;
  const transports = await drivers.transports({ source: undefined, target: undefined });
  const deps = {
    ...transports,
    ...remoteBuildDrivers(),
    fullName: (name: string) => drivers.fullName(name),
    cacheDirectory: userCache(drivers.settings.env),
  };
  return buildWithoutStore(deps, sources, { ...request, destinations });
}

/** The user's cache directory for imgtool; undefined: there is none that only this user can write. */
export function userCache(env: NodeJS.ProcessEnv): string | undefined {
  const base = env.XDG_CACHE_HOME ?? join(homeDirectory(env), '.cache');
  if (!base.startsWith('/')) return undefined;
  const path = join(base, 'imgtool');
  // What is in the way of making it may belong to another user, whose HOME was kept (sudo).
  for (let at = path; ; at = dirname(at)) {
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats !== undefined) {
      const isOwn = stats.uid === process.geteuid!() && (stats.mode & 0o022) === 0;
      return stats.isDirectory() && isOwn ? path : undefined;
    }
    if (at === '/') return undefined;
  }
}
