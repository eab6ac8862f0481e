import {
  instructionError,
  type ResolvedStage,
  type StageInstruction,
  type StageSource,
} from '../../dockerfile/index.js';
import type { Digest, Reference, ReopenableBlob } from '../../spec/index.js';
import { closeAll } from '../../util/index.js';
import { executeStage, imageBaseOf, manifestTypeOf, scratchBase, StageState, type StepLog } from '../build/index.js';
import { Spool, type BuildContext, type BuildSources } from '../build-context/index.js';
import type { BlobPlace } from '../copy/index.js';
import { createdAt } from '../store/index.js';
import { type BuiltStage, spooledBlob } from './built-image.js';
import { tolerating } from './cache-repository.js';
import { makeLayer, type LayerJob } from './layer-step.js';
import { baseOf, graphOf } from './plan-build.js';
import type { CachedSteps, RemoteCache } from './remote-cache.js';
import { RemoteImages, type RemoteImage } from './remote-images.js';
import { StageFiles, type BuiltLayer } from './stage-files.js';
import type { RemoteBuildDeps, RemoteBuildRequest } from './types.js';

/** A stage during the build. */
interface StageInProgress {
  readonly state: StageState;
  readonly files: StageFiles;
  /** Layers built so far, with those of its base stages. */
  readonly made: readonly BuiltLayer[];
  /** Layers from the remote cache, with those of its base stages. */
  readonly found: readonly { readonly blob: ReopenableBlob; readonly place: BlobPlace['place'] }[];
  readonly image: RemoteImage | undefined;
}

/** The build of one image without a store. The caller closes it. */
export class RemoteBuild {
  readonly #deps: RemoteBuildDeps;
  readonly #sources: BuildSources;
  readonly #request: RemoteBuildRequest;
  readonly #cache: RemoteCache | undefined;
  readonly #parts: ReturnType<typeof graphOf>;
  readonly #images: RemoteImages;
  readonly #spool: Spool;
  readonly #log: StepLog;
  readonly #createdMs: number;
  readonly #stages = new Map<number, Promise<StageInProgress>>();
  #found: CachedSteps | undefined;

  constructor(
    deps: RemoteBuildDeps,
    sources: BuildSources,
    {
      request,
      cache,
      log,
    }: { readonly request: RemoteBuildRequest; readonly cache: RemoteCache | undefined; readonly log: StepLog },
  ) {
    this.#deps = deps;
    this.#sources = sources;
    this.#request = request;
    this.#cache = cache;
    this.#parts = graphOf(request, sources.names);
    // The cache may already have resolved images.
    this.#images = cache?.images ?? new RemoteImages(deps, request);
    this.#spool = new Spool(deps.temporaryDirectory);
    this.#log = log;
    const { sourceDateEpoch } = request;
    this.#createdMs = sourceDateEpoch === undefined ? Date.now() : Math.min(Date.now(), sourceDateEpoch * 1000);
  }

  /** Builds the target. Throws DockerfileError, the errors of reading bases and the cache, AbortError. */
  async run(): Promise<BuiltStage> {
    const { graph } = this.#parts;
    this.#found = await this.#cache?.found();
    const target = graph.target(this.#request.target);
    const needed = graph.needed(target).filter(({ stage }) => this.#found?.isSkipped(stage.index) !== true);
    await Promise.all(needed.map((stage) => this.#imageBase(stage)));
    for (const { stage } of needed) await this.#stage(stage.index);
    const { state, made, found, image } = await this.#stage(target.stage.index);
    return {
      ...{ state, base: image?.source, steps: this.#log.reports },
      made: new Map(made.map((layer): [Digest, ReopenableBlob] => [layer.blob.digest, spooledBlob(layer)])),
      found: new Map(found.map(({ blob }): [Digest, ReopenableBlob] => [blob.descriptor.digest, blob])),
      places: found.map(({ blob, place }) => ({ place, digest: blob.descriptor.digest })),
    };
  }

  /**
   * Stores the target's steps in the cache, and the layer indexes for the user's next build. `pushedTo`: locations of
   * the image. Throws AbortError.
   */
  async keep(cache: RemoteCache, pushedTo: readonly Reference[]): Promise<void> {
    const { state, made, found } = await this.#stage(this.#parts.graph.target(this.#request.target).stage.index);
    const blobs = new Map([
      ...found.map(({ blob }): [Digest, ReopenableBlob] => [blob.descriptor.digest, blob]),
      ...made.map((layer): [Digest, ReopenableBlob] => [layer.blob.digest, spooledBlob(layer)]),
    ]);
    await cache.keep({
      layers: state.layers.flatMap((layer) => (layer.kind === 'base' ? [layer] : [])),
      dates: state.history.flatMap(({ entry }) => (entry.empty_layer === true ? [] : [entry.created ?? ''])),
      open: ({ digest }) => blobs.get(digest)!,
      pushedTo,
    });
    const layers = made.map((layer) => ({ blob: spooledBlob(layer), diffId: layer.diffId }));
    const onFault = ({ message }: Error): void =>
      this.#deps.progress.note(`warning: the next build has to fetch the layers of this one: ${message}`);
    await tolerating({ onFault, orFull: true, signal: this.#request.signal }, () => this.#images.keepIndexes(layers));
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#stages.values());
    // The cache closes its images itself.
    await closeAll([() => (this.#cache === undefined ? this.#images.close() : undefined), () => this.#spool.close()]);
  }

  #stage(index: number): Promise<StageInProgress> {
    let stage = this.#stages.get(index);
    if (stage === undefined) {
      stage = this.#build(this.#parts.graph.stages[index]!);
      this.#stages.set(index, stage);
      stage.catch(() => undefined);
    }
    return stage;
  }

  async #build(resolved: ResolvedStage): Promise<StageInProgress> {
    const { inputs, globals } = this.#parts;
    const { base } = resolved;
    const below = base.kind === 'stage' ? await this.#stage(base.index) : undefined;
    const image = below === undefined ? await this.#imageBase(resolved) : below.image;
    const begun = below?.state.asBase() ?? (image === undefined ? scratchBase(this.#request.platform) : baseOf(image));
    const state = new StageState(begun, { inputs, globals });
    const { sourceDateEpoch, signal } = this.#request;
    const files = new StageFiles(this.#deps, below?.files ?? image?.blobs ?? [], {
      ...{ spool: this.#spool, manifestType: manifestTypeOf(this.#request), sourceDateEpoch, signal },
      treeOf: (layers) => this.#images.treeOf(layers),
    });
    const made = [...(below?.made ?? [])];
    const found = [...(below?.found ?? [])];
    const { name, index, from } = resolved.stage;
    const job: LayerJob = {
      ...{ state, files, sources: this.#sources, log: this.#log, signal },
      stageName: name ?? `stage-${index}`,
      createdNs: BigInt(this.#createdMs) * 1_000_000n,
      findSource: (wanted, instruction) => this.#source(wanted, resolved, instruction),
    };
    await executeStage(resolved.stage, {
      ...{ state, baseName: from.base, triggers: begun.config?.config?.OnBuild ?? [], signal },
      step: async (instruction, place) => {
        const cached = this.#found?.step(index, place.number);
        if (cached !== undefined) {
          const { diffId, created } = cached;
          const layer = await cached.open();
          const { blob } = layer;
          files.put(layer);
          found.push({ blob, place: cached.place });
          state.layers.push({ kind: 'base', blob: blob.descriptor, diffId });
          this.#log.begin({ stage: job.stageName, ...place, instruction }).cached();
          return created;
        }
        const layer = await makeLayer(job, instruction, place);
        made.push(layer);
        state.layers.push({ kind: 'base', blob: layer.blob, diffId: layer.diffId });
        return createdAt(sourceDateEpoch);
      },
    });
    return { state, files, made, found, image };
  }

  #imageBase(stage: ResolvedStage): Promise<RemoteImage | undefined> {
    return imageBaseOf(stage, { images: this.#images, sources: this.#sources });
  }

  async #source(
    from: string | undefined,
    { stage }: ResolvedStage,
    instruction: StageInstruction,
  ): Promise<BuildContext> {
    if (from === undefined) return this.#sources.main();
    const source = this.#parts.graph.source(from, stage, instruction);
    const image = source.kind === 'context' ? this.#sources.imageOf(source.name) : undefined;
    if (source.kind === 'context' && image === undefined) return this.#sources.named(source.name);
    const tree = await this.#treeOf(image === undefined ? source : { kind: 'image', reference: image });
    if (tree === undefined) throw instructionError(instruction, `${from} has no files`);
    return { name: from, tree, keepsOwners: true, close: () => Promise.resolve() };
  }

  async #treeOf(source: StageSource): Promise<BuildContext['tree'] | undefined> {
    if (source.kind === 'stage') return (await this.#stage(source.index)).files.tree();
    if (source.kind === 'image') return (await this.#images.find(source.reference)).tree();
    return undefined;
  }
}
