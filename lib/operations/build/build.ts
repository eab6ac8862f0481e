import {
  instructionError,
  globalVariables,
  StageGraph,
  type BuildInputs,
  type ResolvedStage,
  type StageInstruction,
  type StageSource,
} from '../../dockerfile/index.js';
import { formatOf, formatPlatform, formatReference, hostPlatform } from '../../spec/index.js';
import { Semaphore, thenCloseAll } from '../../util/index.js';
import type { BuildSources } from '../build-context/index.js';
import { keepingReserve } from '../layers/index.js';
import { lockStore, sweepStore } from '../store/index.js';
import { BaseImages, imageBaseOf } from './base-images.js';
import { buildStage, type StageContext } from './build-stage.js';
import { keepFailed } from './keep-failed.js';
import { LayerPacker } from './layer-packer.js';
import { composeIndexResult, type PlatformImage, recordIndex, recordNames } from './platform-index.js';
import type { MountSource } from './run-mounts.js';
import { scratchBase, StageState, type StageBase } from './stage-state.js';
import { StepCache } from './step-cache.js';
import { StepLog } from './step-log.js';
import type { BuildDeps, BuildRequest, BuildResult, ReportedLayer } from './types.js';
import { manifestTypeOf, writeImage } from './write-image.js';

/**
 * Builds the image of a Dockerfile's stage. Builds only the stages it needs, independent ones concurrently. Several
 * requests, one per platform, run in sequence and produce an index. Finished steps stay in the cache even if the build
 * fails; image records are written last. Throws DockerfileError, BuildStepError, NotFoundError, UsageError, AbortError
 * and the errors of fetching a base, running and packing.
 */
export async function buildImages(
  deps: BuildDeps,
  sources: BuildSources,
  requests: readonly BuildRequest[],
): Promise<BuildResult> {
  const started = performance.now();
  const first = requests[0]!;
  const lock = await lockStore(deps, first);
  try {
    await sweepStore(deps);
    return await keepingReserve(deps, first, async (signal) => {
      const log = new StepLog(deps.progress);
      const built: BuiltStage[] = [];
      for (const request of requests) {
        const label = requests.length === 1 ? undefined : formatPlatform(request.platform);
        built.push(await new Build(deps, sources, { ...request, signal }, log.labelled(label)).run());
      }
      const names = first.references.map(formatReference);
      const seconds = (): number => (performance.now() - started) / 1000;
      if (built.length === 1) {
        const { image, result } = built[0]!;
        return { ...result, names: await recordNames(deps, image, { names, signal }), seconds: seconds() };
      }
      const index = await recordIndex(deps, built, { names, format: formatOf(manifestTypeOf(first)), signal });
      const results = built.map(({ result }) => result);
      return { ...composeIndexResult(results, index), seconds: seconds() };
    });
  } finally {
    lock.release();
  }
}

/** A built image that is not recorded yet. */
interface BuiltStage extends PlatformImage {
  readonly result: Omit<BuildResult, 'seconds'>;
}

class Build {
  readonly #deps: BuildDeps;
  readonly #sources: BuildSources;
  readonly #request: BuildRequest;
  readonly #inputs: BuildInputs;
  readonly #graph: StageGraph;
  readonly #globals: ReadonlyMap<string, string>;
  readonly #images: BaseImages;
  readonly #cache: StepCache;
  readonly #packer: LayerPacker;
  readonly #log: StepLog;
  readonly #slots: Semaphore;
  readonly #failed = new AbortController();
  readonly #stages = new Map<number, Promise<StageState>>();

  constructor(deps: BuildDeps, sources: BuildSources, given: BuildRequest, log: StepLog) {
    const request = { ...given, signal: AbortSignal.any([given.signal, this.#failed.signal]) };
    const { dockerfile, buildArgs, platform, target, cacheTtlMs } = request;
    this.#deps = deps;
    this.#sources = sources;
    this.#request = request;
    this.#inputs = { buildArgs, buildPlatform: hostPlatform(), targetPlatform: platform, target };
    this.#globals = globalVariables(dockerfile, this.#inputs);
    this.#graph = new StageGraph(dockerfile, { globals: this.#globals, contexts: sources.names });
    this.#images = new BaseImages(deps, request);
    this.#cache = new StepCache(deps, { ttlMs: cacheTtlMs });
    this.#packer = this.#newPacker();
    this.#log = log;
    this.#slots = new Semaphore(request.jobs);
  }

  async run(): Promise<BuiltStage> {
    const target = this.#graph.target(this.#request.target);
    const isSkipped = this.#request.isSkipped ?? (() => false);
    const needed = this.#graph.needed(target).filter(({ stage }) => !isSkipped(stage.index));
    // Resolves all bases at once, before running anything.
    await Promise.all(needed.map((stage) => this.#imageBase(stage)));
    const chain = this.#chainOf(target);
    for (const stage of needed) this.#start(stage, chain.has(stage.stage.index));
    const ends = [
      () => Promise.allSettled(this.#stages.values()),
      () => this.#packer.settle(),
      () => this.#keepSteps(),
    ];
    return thenCloseAll(() => this.#finish(needed), ends);
  }

  /** Waits for the stages, the target last, and writes its image. */
  async #finish(needed: readonly ResolvedStage[]): Promise<BuiltStage> {
    try {
      const states = await Promise.all(needed.map(({ stage }) => this.#stages.get(stage.index)!));
      const state = states.at(-1)!;
      const layers = await this.#layersOf(state);
      const image = await writeImage(this.#deps, state, { layers, request: this.#request });
      const result = {
        id: image.id,
        names: [],
        digest: image.manifest.digest,
        platform: formatPlatform(state.platform),
        layers: layers.blobs.map(({ digest, size }): ReportedLayer => ({
          digest,
          size,
          state: layers.packed.has(digest) ? 'packed' : 'present',
        })),
        steps: this.#log.reports,
      };
      return { image, platform: state.platform, result };
    } catch (error) {
      this.#failed.abort(error);
      throw error;
    }
  }

  #newPacker(): LayerPacker {
    const request = this.#request;
    return new LayerPacker(this.#deps, { cache: this.#cache, request, manifestType: manifestTypeOf(request) });
  }

  /** Resolves with true if the container is kept. The step's error takes precedence over an error here. */
  async #keep(state: StageState, container: string): Promise<boolean> {
    const { progress } = this.#deps;
    try {
      const name = await keepFailed(this.#deps, { state, container, packer: this.#newPacker() }, this.#request);
      progress.note(
        `the files of the failed step are in container ${name}: imgtool run ${name} COMMAND; imgtool rm ${name}`,
      );
      return true;
    } catch (error) {
      this.#request.signal.throwIfAborted();
      progress.note(`warning: the files of the step that failed are not kept: ${(error as Error).message}`);
      return false;
    }
  }

  /** Syncs finished steps to disk even if the build failed; its error takes precedence over an error here. */
  async #keepSteps(): Promise<void> {
    if (!this.#cache.hasUnsynced) return;
    await this.#deps.snapshots.sync();
    await this.#cache.markSynced();
  }

  async #layersOf(state: StageState) {
    if (!this.#request.squash) return this.#packer.finish(state.layers);
    const own = state.layers.findIndex(({ kind }) => kind === 'step');
    const base = own < 0 ? state.layers : state.layers.slice(0, own);
    const first = state.layers[own];
    const below = first?.kind === 'step' ? first.below : state.tree;
    return this.#packer.squash(base, { tree: state.tree, below });
  }

  /** Indexes of the stages that contribute layers: the target, its base, and so on. */
  #chainOf(target: ResolvedStage): ReadonlySet<number> {
    const chain = new Set<number>();
    for (let stage: ResolvedStage | undefined = target; stage !== undefined;) {
      chain.add(stage.stage.index);
      stage = stage.base.kind === 'stage' ? this.#graph.stages[stage.base.index] : undefined;
    }
    return chain;
  }

  /** A stage named only by a base image's trigger starts when the trigger is reached. */
  #stage(index: number): Promise<StageState> {
    if (!this.#stages.has(index)) this.#start(this.#graph.stages[index]!, false);
    return this.#stages.get(index)!;
  }

  #start(stage: ResolvedStage, isPacked: boolean): void {
    const building = this.#build(stage, isPacked && !this.#request.squash);
    this.#stages.set(stage.stage.index, building);
    // The first failure aborts the other stages.
    building.catch((error: unknown) => this.#failed.abort(error));
  }

  async #build(resolved: ResolvedStage, isPacked: boolean): Promise<StageState> {
    const { base } = resolved;
    const begun = base.kind === 'stage' ? (await this.#stage(base.index)).asBase() : await this.#imageBase(resolved);
    const state = new StageState(begun ?? scratchBase(this.#request.platform), {
      inputs: this.#inputs,
      globals: this.#globals,
    });
    const context: StageContext = {
      deps: this.#deps,
      request: this.#request,
      sources: this.#sources,
      cache: this.#cache,
      slots: this.#slots,
      log: this.#log,
      findSource: (from, instruction) => this.#source(from, resolved, instruction),
      onLayer: (layers, log) => {
        if (isPacked) this.#packer.add(layers, (bytes) => log.packed(bytes));
      },
      onFailure: this.#request.keepFailed ? (failed, container) => this.#keep(failed, container) : undefined,
    };
    await buildStage(context, resolved, state, begun?.config?.config?.OnBuild ?? []);
    return state;
  }

  /** The base image of a stage; undefined for another stage or scratch. */
  #imageBase(stage: ResolvedStage): Promise<StageBase | undefined> {
    return imageBaseOf(stage, { images: this.#images, sources: this.#sources });
  }

  async #source(
    from: string | undefined,
    { stage }: ResolvedStage,
    instruction: StageInstruction,
  ): Promise<MountSource> {
    if (from === undefined) return { context: await this.#sources.main(), tree: undefined };
    const source = this.#graph.source(from, stage, instruction);
    const image = source.kind === 'context' ? this.#sources.imageOf(source.name) : undefined;
    if (source.kind === 'context' && image === undefined)
      return { context: await this.#sources.named(source.name), tree: undefined };
    return this.#treeSource(image === undefined ? source : { kind: 'image', reference: image }, from, instruction);
  }

  async #treeSource(source: StageSource, name: string, instruction: StageInstruction): Promise<MountSource> {
    const base =
      source.kind === 'stage'
        ? await this.#stage(source.index)
        : source.kind === 'image'
          ? await this.#images.find(source.reference)
          : undefined;
    const tree = base?.tree;
    if (tree === undefined) throw instructionError(instruction, `${name} has no files`);
    return { context: await this.#sources.ofTree(name, this.#deps.snapshots.layerPath(tree.subvolume)), tree };
  }
}
