import {
  instructionError,
  type ResolvedStage,
  type StageInstruction,
  type StageSource,
} from '../../dockerfile/index.js';
import { parseTransportName } from '../../spec/index.js';
import { manifestTypeOf, StageState, StepLog, type StageBase } from '../build/index.js';
import { Spool, type BuildContext, type BuildSources } from '../build-context/index.js';
import { createdAt } from '../store/index.js';
import { deliver, spooledBlob } from './built-image.js';
import { executeStage } from './execute-stage.js';
import { makeLayer } from './layer-step.js';
import { baseOf, graphOf, imageBaseOf } from './plan-build.js';
import type { RemoteCache } from './remote-cache.js';
import { RemoteImages, type RemoteImage } from './remote-images.js';
import { StageFiles, type BuiltLayer } from './stage-files.js';
import type { RemoteBuildDeps, RemoteBuildRequest, RemoteBuildResult } from './types.js';

/** A stage that is built. */
interface BuiltStage {
  readonly state: StageState;
  readonly files: StageFiles;
  /** Layers that this build made, its base stages' included. */
  readonly built: readonly BuiltLayer[];
  readonly image: RemoteImage | undefined;
}

/** Whether the stages that the target needs can be built without a store: none has a RUN. Throws DockerfileError. */
export function canBuildWithoutStore(
  request: Pick<RemoteBuildRequest, 'dockerfile' | 'buildArgs' | 'platform' | 'target' | 'squash'>,
  contexts: ReadonlySet<string>,
): boolean {
  const { graph } = graphOf(request, contexts);
  const needed = graph.needed(graph.target(request.target));
  return !request.squash && needed.every(({ stage }) => stage.instructions.every(({ keyword }) => keyword !== 'RUN'));
}

/**
 * Builds an image whose stages have no RUN, copies it to its destinations and keeps its steps in the cache. Nothing is unpacked and
 * nothing needs root: layers of the base are mounted or copied as they are, and what COPY has to know of them is read from their
 * headers. The digest is that of the same build in a store. Throws DockerfileError, what reading the base throws, what copying
 * throws, AbortError.
 */
export async function buildWithoutStore(
  deps: RemoteBuildDeps,
  sources: BuildSources,
  { request, cache }: { readonly request: RemoteBuildRequest; readonly cache: RemoteCache | undefined },
): Promise<RemoteBuildResult> {
  const started = performance.now();
  const build = new RemoteBuild(deps, sources, request);
  try {
    const result = await build.run(cache);
    return { ...result, seconds: (performance.now() - started) / 1000 };
  } finally {
    await build.close();
  }
}

class RemoteBuild {
  readonly #deps: RemoteBuildDeps;
  readonly #sources: BuildSources;
  readonly #request: RemoteBuildRequest;
  readonly #parts: ReturnType<typeof graphOf>;
  readonly #images: RemoteImages;
  readonly #spool: Spool;
  readonly #log: StepLog;
  readonly #createdMs: number;
  readonly #stages = new Map<number, Promise<BuiltStage>>();

  constructor(deps: RemoteBuildDeps, sources: BuildSources, request: RemoteBuildRequest) {
    this.#deps = deps;
    this.#sources = sources;
    this.#request = request;
    this.#parts = graphOf(request, sources.names);
    this.#images = new RemoteImages(deps, request);
    this.#spool = new Spool(deps.temporaryDirectory);
    this.#log = new StepLog(deps.progress);
    const { sourceDateEpoch } = request;
    this.#createdMs = sourceDateEpoch === undefined ? Date.now() : Math.min(Date.now(), sourceDateEpoch * 1000);
  }

  async run(cache: RemoteCache | undefined): Promise<Omit<RemoteBuildResult, 'seconds'>> {
    const { graph } = this.#parts;
    const request = this.#request;
    // Before anything is done, so that a wrong name is an early error.
    const destinations = request.destinations.map(parseTransportName);
    const target = graph.target(request.target);
    const needed = graph.needed(target);
    await Promise.all(needed.map((stage) => this.#imageBase(stage)));
    for (const { stage } of needed) await this.#stage(stage.index);
    const { state, built, image } = await this.#stage(target.stage.index);
    const sources = new Map(built.map((layer) => [layer.blob.digest, spooledBlob(layer)]));
    const result = await deliver(this.#deps, { state, base: image?.source, sources, known: [] }, request);
    await cache?.keep({
      layers: state.layers.flatMap((layer) => (layer.kind === 'base' ? [layer] : [])),
      dates: state.history.flatMap(({ entry }) => (entry.empty_layer === true ? [] : [entry.created ?? ''])),
      open: ({ digest }) => sources.get(digest)!,
      pushedTo: destinations.flatMap((name) => (name.transport === 'docker' ? [name.reference] : [])),
    });
    return { ...result, steps: this.#log.reports };
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#stages.values());
    await this.#images.close();
    this.#spool.close();
  }

  #stage(index: number): Promise<BuiltStage> {
    let stage = this.#stages.get(index);
    if (stage === undefined) {
      stage = this.#build(this.#parts.graph.stages[index]!);
      this.#stages.set(index, stage);
      stage.catch(() => undefined);
    }
    return stage;
  }

  async #build(resolved: ResolvedStage): Promise<BuiltStage> {
    const { inputs, globals } = this.#parts;
    const { base } = resolved;
    const below = base.kind === 'stage' ? await this.#stage(base.index) : undefined;
    const image = below === undefined ? await this.#imageBase(resolved) : below.image;
    const begun = below?.state.asBase() ?? (image === undefined ? this.#scratch() : baseOf(image));
    const state = new StageState(begun, { inputs, globals });
    const { sourceDateEpoch, signal } = this.#request;
    const files = new StageFiles(
      this.#deps,
      () =>
        below !== undefined ? below.files.tree() : image === undefined ? Promise.resolve(undefined) : image.tree(),
      { spool: this.#spool, manifestType: manifestTypeOf(this.#request), sourceDateEpoch, signal },
    );
    const built = [...(below?.built ?? [])];
    const { name, index, from } = resolved.stage;
    const job = {
      ...{ state, files, sources: this.#sources, log: this.#log, signal },
      stageName: name ?? `stage-${index}`,
      createdNs: BigInt(this.#createdMs) * 1_000_000n,
      findSource: (wanted: string | undefined, instruction: StageInstruction) =>
        this.#source(wanted, resolved, instruction),
    };
    await executeStage(resolved.stage, {
      ...{ state, baseName: from.base, triggers: begun.config?.config?.OnBuild ?? [], signal },
      step: async (instruction, place) => {
        const layer = await makeLayer(job, instruction, place);
        built.push(layer);
        state.layers.push({ kind: 'base', blob: layer.blob, diffId: layer.diffId });
        return createdAt(sourceDateEpoch);
      },
    });
    return { state, files, built, image };
  }

  #imageBase(stage: ResolvedStage): Promise<RemoteImage | undefined> {
    return imageBaseOf(stage, { images: this.#images, sources: this.#sources });
  }

  #scratch(): StageBase {
    return { config: undefined, platform: this.#request.platform, tree: undefined, layers: [], history: [] };
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
