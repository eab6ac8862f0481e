import {
  globalVariables,
  mountsOf,
  StageGraph,
  type BuildInputs,
  type ResolvedStage,
  type RunInstruction,
} from '../../dockerfile/index.js';
import { chainIds, hostPlatform, platformFrom } from '../../spec/index.js';
import {
  copyText,
  executeStage,
  imageBaseOf,
  runParts,
  scratchBase,
  StageState,
  stepKey,
  type LayerInstruction,
  type StageBase,
} from '../build/index.js';
import type { BuildSources } from '../build-context/index.js';
import type { RemoteImage, RemoteImages } from './remote-images.js';
import type { RemoteBuildRequest } from './types.js';

/** A step that creates a layer, planned before anything runs. */
export interface PlannedStep {
  readonly stage: number;
  /** From 1, with triggers of the base. */
  readonly number: number;
  /** Identifies the layer; undefined if it depends on files that only building creates. */
  readonly key: string | undefined;
  /** Stages whose files it uses. */
  readonly uses: readonly number[];
  readonly instruction: LayerInstruction;
}

/** A stage whose instructions were evaluated without running any. */
export interface PlannedStage {
  readonly resolved: ResolvedStage;
  readonly state: StageState;
  readonly key: string | undefined;
  /** With those of its base stages, oldest first. */
  readonly steps: readonly PlannedStep[];
  /** Image with its lowest layers; undefined for FROM scratch. */
  readonly image: RemoteImage | undefined;
}

/** The stage graph of a Dockerfile for a request. Throws DockerfileError. */
export function graphOf(
  {
    dockerfile,
    buildArgs,
    platform,
    target,
  }: Pick<RemoteBuildRequest, 'dockerfile' | 'buildArgs' | 'platform' | 'target'>,
  contexts: ReadonlySet<string>,
): { readonly graph: StageGraph; readonly inputs: BuildInputs; readonly globals: ReadonlyMap<string, string> } {
  const inputs = { buildArgs, buildPlatform: hostPlatform(), targetPlatform: platform, target };
  const globals = globalVariables(dockerfile, inputs);
  return { inputs, globals, graph: new StageGraph(dockerfile, { globals, contexts }) };
}

/** An image as the base of a stage; uses only its documents. */
export function baseOf({ config, layers }: RemoteImage): StageBase {
  return {
    config,
    platform: platformFrom(config),
    tree: undefined,
    layers: layers.map(({ blob, diffId }) => ({ kind: 'base', blob, diffId })),
    history: (config.history ?? []).map((entry) => ({ entry, isNew: false })),
  };
}

/** Evaluates the stages of one build without running anything. */
export class BuildPlan {
  readonly graph: StageGraph;
  readonly #parts: ReturnType<typeof graphOf>;
  readonly #sources: BuildSources;
  readonly #images: RemoteImages;
  readonly #request: RemoteBuildRequest;
  readonly #stages = new Map<number, Promise<PlannedStage>>();

  constructor(request: RemoteBuildRequest, sources: BuildSources, images: RemoteImages) {
    this.#request = request;
    this.#sources = sources;
    this.#images = images;
    this.#parts = graphOf(request, sources.names);
    this.graph = this.#parts.graph;
  }

  /** The target. Throws DockerfileError, the errors of reading base documents and hashing contexts. */
  target(): Promise<PlannedStage> {
    return this.#stage(this.graph.target(this.#request.target).stage.index);
  }

  /** The steps left to run and the stages left to build. `has`: reports whether a step need not run. */
  async remaining(
    target: PlannedStage,
    has: (step: PlannedStep) => boolean,
  ): Promise<{ readonly stages: ReadonlySet<number>; readonly steps: readonly PlannedStep[] }> {
    const stages = new Set<number>();
    const lacking: PlannedStep[] = [];
    const visit = async (index: number): Promise<void> => {
      if (stages.has(index)) return;
      stages.add(index);
      const { resolved, steps } = await this.#stage(index);
      const own = steps.filter((step) => step.stage === index && !has(step));
      lacking.push(...own);
      for (const used of own.flatMap(({ uses }) => uses)) await visit(used);
      if (resolved.base.kind === 'stage') await visit(resolved.base.index);
    };
    await visit(target.resolved.stage.index);
    return { stages, steps: lacking };
  }

  #stage(index: number): Promise<PlannedStage> {
    let stage = this.#stages.get(index);
    if (stage === undefined) {
      stage = this.#plan(this.graph.stages[index]!);
      this.#stages.set(index, stage);
      stage.catch(() => undefined);
    }
    return stage;
  }

  async #plan(resolved: ResolvedStage): Promise<PlannedStage> {
    const { base, stage } = resolved;
    const { inputs, globals } = this.#parts;
    const below = base.kind === 'stage' ? await this.#stage(base.index) : undefined;
    const image = below?.image ?? (await imageBaseOf(resolved, { images: this.#images, sources: this.#sources }));
    const begun = below?.state.asBase() ?? (image === undefined ? scratchBase(this.#request.platform) : baseOf(image));
    const state = new StageState(begun, { inputs, globals });
    const steps = [...(below?.steps ?? [])];
    let key = below === undefined ? keyOf(image) : below.key;
    await executeStage(stage, {
      ...{
        state,
        baseName: stage.from.base,
        triggers: begun.config?.config?.OnBuild ?? [],
        signal: this.#request.signal,
      },
      step: async (instruction, { number }) => {
        const { parts, uses } = await this.#partsOf(instruction, state, resolved);
        key = key === undefined || parts === undefined ? undefined : this.#key(key, parts);
        steps.push({ stage: stage.index, number, key, uses, instruction });
        return NOT_MADE;
      },
    });
    return { resolved, state, key, steps, image };
  }

  #key(parent: string, parts: readonly Part[]): string {
    const { sourceDateEpoch } = this.#request;
    const epoch = { name: 'epoch', value: sourceDateEpoch?.toString() };
    return stepKey([{ name: 'parent', value: parent }, epoch, ...parts]).key;
  }

  /** The parts that determine the layer, besides the layers below; undefined if unknown before building. */
  async #partsOf(
    instruction: LayerInstruction,
    state: StageState,
    resolved: ResolvedStage,
  ): Promise<{ readonly parts: readonly Part[] | undefined; readonly uses: readonly number[] }> {
    const { workdir } = state;
    const user = { name: 'user', value: state.config.User ?? '' };
    if (instruction.keyword === 'WORKDIR') return { parts: [{ name: 'workdir', value: workdir }, user], uses: [] };
    if (instruction.keyword === 'RUN') return this.#runParts(instruction, state, resolved);
    const text = { name: 'instruction', value: copyText(instruction, workdir) };
    const from = instruction.keyword === 'COPY' ? instruction.from : undefined;
    const source = from === undefined ? undefined : this.graph.source(from, resolved.stage, instruction);
    if (source?.kind === 'stage') {
      const { key } = await this.#stage(source.index);
      return { parts: key === undefined ? undefined : [text, { name: 'from', value: key }], uses: [source.index] };
    }
    const image =
      source?.kind === 'image'
        ? source.reference
        : source?.kind === 'context'
          ? this.#sources.imageOf(source.name)
          : undefined;
    if (image !== undefined)
      return { parts: [text, { name: 'from', value: keyOf(await this.#images.find(image)) }], uses: [] };
    const context = source?.kind === 'context' ? await this.#sources.named(source.name) : await this.#sources.main();
    const selection = await this.#sources.select({ instruction, context, workdir, signal: this.#request.signal });
    try {
      return { parts: [text, { name: 'files', value: await selection.digest() }], uses: [] };
    } finally {
      await selection.close();
    }
  }

  #runParts(
    instruction: RunInstruction,
    state: StageState,
    { stage }: ResolvedStage,
  ): { readonly parts: readonly Part[] | undefined; readonly uses: readonly number[] } {
    const mounts = mountsOf(instruction, state.scope.environment);
    const uses = mounts.flatMap(({ from }) => {
      const source = from === undefined ? undefined : this.graph.source(from, stage, instruction);
      return source?.kind === 'stage' ? [source.index] : [];
    });
    // Their contents are unknown here.
    if (mounts.some(({ type, from }) => type === 'bind' || from !== undefined)) return { parts: undefined, uses };
    const parts = runParts(instruction, { state, request: this.#request, mounts: JSON.stringify(mounts) });
    return { parts, uses };
  }
}

interface Part {
  readonly name: string;
  readonly value: string | undefined;
}

/** Placeholder date of a layer that does not exist yet. */
const NOT_MADE = '0001-01-01T00:00:00Z';

function keyOf(image: RemoteImage | undefined): string {
  if (image === undefined) return 'scratch';
  return chainIds(image.layers.map(({ diffId }) => diffId)).at(-1) ?? 'empty';
}
