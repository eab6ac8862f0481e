import { lintError, unusedArgs, type LintWarning } from '../dockerfile/index.js';
import { UsageError } from '../errors.js';
import type { RemoteCache } from '../operations/build-remote/index.js';
import type { BuildRequest, BuildResult, BuildSources } from '../operations/index.js';
import {
  checkHoldsIndex,
  deliverIndex,
  destinationsOf,
  parseOutput,
  pushNames,
  writeOutputs,
  type BuildOutput,
} from './build-outputs.js';
import { BUILD, platformsOf, prepareBuild, type BuildOptions, type PreparedBuild } from './build-request.js';
import { type Close, thenCloseAll } from '../util/index.js';
import { checkOptions } from './check-options.js';
import type { Drivers } from './drivers.js';
import { buildRemote, keepSteps, openCacheMounts, openRemoteCache, type CacheRepositories } from './remote-build.js';

/** A built image and the lint findings in its Dockerfile. */
export interface BuiltImage extends BuildResult {
  readonly warnings: readonly LintWarning[];
}

/** Lint findings in a Dockerfile; `failed`: its own directive makes warnings errors. */
export interface BuildCheck {
  readonly warnings: readonly LintWarning[];
  readonly failed: boolean;
}

/** Builds an image from a Dockerfile. `context`: undefined when the Dockerfile copies nothing from it. */
export async function build(drivers: Drivers, context: string | undefined, given: BuildOptions): Promise<BuiltImage> {
  checkOptions('build', given, BUILD);
  const outputs = (given.outputs ?? []).map(parseOutput);
  if (given.push === true && (given.tags ?? []).length === 0)
    throw new UsageError('there is no name to push the image to', { hint: 'give one with --tag HOST/REPOSITORY:TAG' });
  if (given.cacheMounts === true && (given.cacheFrom ?? []).length + (given.cacheTo ?? []).length === 0)
    throw new UsageError('no repository to store cache mounts in', {
      hint: 'give one with --cache-from and --cache-to',
    });
  if (platformsOf(given).length > 1) checkHoldsIndex(outputs);
  const prepared = await prepareBuild(drivers, context, given);
  const run = async (): Promise<BuiltImage> => {
    const { warnings, dockerfile } = prepared;
    for (const { file, line, rule, message } of warnings)
      drivers.progress.note(`warning: ${file}:${line}: ${message} (${rule})`);
    const error = lintError(dockerfile, warnings);
    if (error !== undefined) throw error;
    for (const name of unusedArgs(dockerfile, prepared.requests[0]!.buildArgs.keys()))
      drivers.progress.note(`warning: --build-arg ${name} has no effect: ${dockerfile.file} has no ARG ${name}`);
    return { ...(await buildPrepared(drivers, prepared, { given, outputs })), warnings };
  };
  return thenCloseAll(run, [() => prepared.close()]);
}

/** The build for one platform. */
interface BuildOrder {
  readonly request: BuildRequest;
  readonly cache: RemoteCache | undefined;
}

/** Builds the cheapest way: from the remote cache, without a store, or in the store. */
async function buildPrepared(
  drivers: Drivers,
  { requests, sources }: PreparedBuild,
  { given, outputs }: { readonly given: BuildOptions; readonly outputs: readonly BuildOutput[] },
): Promise<BuildResult> {
  const isPushed = given.push === true;
  const destinations = destinationsOf(requests[0]!, { outputs, push: isPushed });
  const repositories = { from: given.cacheFrom ?? [], to: given.cacheTo ?? [] };
  const closes: Close[] = [];
  return thenCloseAll(async () => {
    const orders: BuildOrder[] = [];
    for (const request of requests) {
      const cache = await openRemoteCache(drivers, sources, { request, repositories });
      closes.push(() => cache?.close());
      orders.push({ request, cache });
    }
    const built =
      destinations === undefined ? undefined : await buildRemote(drivers, sources, { orders, destinations });
    if (built !== undefined) return built;
    const caches = given.cacheMounts === true ? repositories : undefined;
    return buildInStore(drivers, sources, { orders, outputs, isPushed, caches });
  }, closes);
}

async function buildInStore(
  drivers: Drivers,
  sources: BuildSources,
  {
    orders,
    outputs,
    isPushed,
    caches,
  }: {
    readonly orders: readonly BuildOrder[];
    readonly outputs: readonly BuildOutput[];
    readonly isPushed: boolean;
    /** Repositories for cache mounts. */
    readonly caches: CacheRepositories | undefined;
  },
): Promise<BuildResult> {
  const { buildImages } = await import('../operations/build/index.js');
  const [unpacking, remote, { openSource }] = await Promise.all([
    drivers.unpacking(),
    drivers.remote(),
    drivers.transports(),
  ]);
  const { request } = orders[0]!;
  const deps = { ...unpacking, ...remote, openSource };
  const cacheMounts =
    caches && (await openCacheMounts(drivers, deps, { repositories: caches, signal: request.signal }));
  try {
    const requests: BuildRequest[] = [];
    for (const { request: one, cache } of orders)
      requests.push({ ...one, cacheMounts, ...(await cache?.imports(unpacking.createApplier)) });
    const result = await buildImages(deps, sources, requests);
    if (result.images !== undefined) {
      await deliverIndex(drivers, result, { request, outputs, isPushed });
    } else {
      await writeOutputs(drivers, result, { outputs, signal: request.signal });
      if (isPushed) await pushNames(drivers, request);
    }
    for (const [i, image] of (result.images ?? [result]).entries()) {
      const { cache } = orders[i]!;
      if (cache !== undefined) await keepSteps(drivers, cache, { result: image, request, isPushed });
    }
    await cacheMounts?.keep();
    return result;
  } finally {
    cacheMounts?.close();
  }
}

/** Lints a Dockerfile without building it. */
export async function checkBuild(
  drivers: Drivers,
  context: string | undefined,
  given: BuildOptions,
): Promise<BuildCheck> {
  const prepared = await prepareBuild(drivers, context, checkOptions('build', given, BUILD));
  await prepared.close();
  const { warnings, dockerfile } = prepared;
  return { warnings, failed: lintError(dockerfile, warnings) !== undefined };
}
