import { formatOf, formatPlatform, parseTransportName, type RawManifest } from '../../spec/index.js';
import { type Close, thenCloseAll } from '../../util/index.js';
import { composeIndexResult, manifestTypeOf, StepLog, type BuildResult } from '../build/index.js';
import type { BuildSources } from '../build-context/index.js';
import { ComposedIndex, deliverImage, indexOf } from '../copy/index.js';
import { type BuiltStage, composeStage } from './built-image.js';
import { graphOf } from './plan-build.js';
import type { CachedSteps, RemoteCache } from './remote-cache.js';
import { RemoteBuild } from './remote-build.js';
import type { RemoteBuildDeps, RemoteBuildRequest } from './types.js';

/** The build of one image. */
export interface RemoteImageOrder {
  readonly request: RemoteBuildRequest;
  readonly cache: RemoteCache | undefined;
}

/** Reports whether the uncached steps can run without a store, which excludes RUN. Throws DockerfileError. */
export function canBuildWithoutStore(
  request: Pick<RemoteBuildRequest, 'dockerfile' | 'buildArgs' | 'platform' | 'target' | 'squash'>,
  contexts: ReadonlySet<string>,
  found: CachedSteps | undefined,
): boolean {
  if (request.squash) return false;
  if (found !== undefined) return !found.hasRun;
  const { graph } = graphOf(request, contexts);
  const needed = graph.needed(graph.target(request.target));
  return needed.every(({ stage }) => stage.instructions.every(({ keyword }) => keyword !== 'RUN'));
}

/**
 * Builds without a store, copies the image (or an index of several) to its destinations and stores the steps in the
 * cache. Unpacks nothing and needs no root: layers of the base are mounted or copied unchanged, and COPY reads only
 * their headers. The digest equals that of a build in a store. Throws DockerfileError, the errors of reading the base
 * and of copying, AbortError.
 */
export async function buildWithoutStore(
  deps: RemoteBuildDeps,
  sources: BuildSources,
  { orders, destinations }: { readonly orders: readonly RemoteImageOrder[]; readonly destinations: readonly string[] },
): Promise<BuildResult> {
  const started = performance.now();
  const log = new StepLog(deps.progress);
  // Reports an invalid name before any work.
  const names = destinations.map(parseTransportName);
  const builds: RemoteBuild[] = [];
  const closes: Close[] = [];
  return thenCloseAll(async () => {
    const built: BuiltStage[] = [];
    for (const order of orders) {
      const label = orders.length === 1 ? undefined : formatPlatform(order.request.platform);
      const build = new RemoteBuild(deps, sources, { ...order, log: log.labelled(label) });
      builds.push(build);
      closes.push(() => build.close());
      built.push(await build.run());
    }
    const { request } = orders[0]!;
    const composed = built.map((stage, i) => composeStage(stage, orders[i]!.request));
    const index = composed.length === 1 ? undefined : indexOfStages(built, composed, request);
    const source =
      index === undefined
        ? composed[0]!.image
        : new ComposedIndex(
            index,
            composed.map(({ image }) => ({ manifest: image.documents.manifest, source: image })),
          );
    const known = built.flatMap(({ places }) => places);
    await deliverImage(deps, source, { destinations, known, signal: request.signal });
    const pushedTo = names.flatMap((name) => (name.transport === 'docker' ? [name.reference] : []));
    for (const [i, { cache }] of orders.entries()) if (cache !== undefined) await builds[i]!.keep(cache, pushedTo);
    const seconds = (performance.now() - started) / 1000;
    const results = composed.map(({ result }) => result);
    if (index === undefined) return { ...results[0]!, seconds };
    return { ...composeIndexResult(results, { digest: index.descriptor.digest, names: results[0]!.names }), seconds };
  }, closes);
}

function indexOfStages(
  stages: readonly BuiltStage[],
  composed: readonly ReturnType<typeof composeStage>[],
  request: RemoteBuildRequest,
): RawManifest {
  const images = stages.map(({ state }, i) => {
    return { manifest: composed[i]!.image.documents.manifest.descriptor, platform: state.platform };
  });
  return indexOf(images, { format: formatOf(manifestTypeOf(request)) });
}
