import { ImgtoolError } from '../../errors.js';
import type { LayerApplier } from '../../layer/index.js';
import type { BuildRequest, ImportedStep, StepReport } from '../build/index.js';
import { Spool, type BuildSources } from '../build-context/index.js';
import { reopenable } from '../registry/index.js';
import { GrowingFile } from '../../util/index.js';
import type { Descriptor, DiffId, Reference, ReopenableBlob } from '../../spec/index.js';
import { deliver } from './built-image.js';
import { diffIdError, fetchLayer } from './layer-indexes.js';
import { BuildPlan, NOT_MADE, type PlannedStage, type PlannedStep } from './plan-build.js';
import { RemoteImages } from './remote-images.js';
import { StepArtifacts, type CachedLayer } from './step-artifacts.js';
import type { RemoteBuildDeps, RemoteBuildRequest, RemoteBuildResult } from './types.js';

type Repository = Pick<Reference, 'host' | 'repository'>;

/** Where steps are looked for and kept. */
export interface RemoteCacheOptions {
  readonly from: readonly Repository[];
  readonly to: readonly Repository[];
  /** Steps older than this are not taken, milliseconds. */
  readonly ttlMs?: number | undefined;
}

/** Steps that were found: those of the target up to some point. */
interface FoundSteps {
  readonly artifacts: StepArtifacts;
  readonly layers: readonly CachedLayer[];
}

/** An image that was built, for `keep`. */
export interface LayersToKeep {
  /** Of the whole image, oldest first. */
  readonly layers: readonly { readonly blob: Descriptor; readonly diffId: DiffId }[];
  /** RFC 3339, of each layer. */
  readonly dates: readonly string[];
  readonly open: (blob: Descriptor) => ReopenableBlob;
  /** Repositories that have the layers. */
  readonly pushedTo: readonly Repository[];
}

/**
 * The remote cache of one build: steps of the target and of the stages it is based on, kept at registries by keys that are known
 * before anything is built. To be closed.
 */
export class RemoteCache {
  readonly #deps: RemoteBuildDeps;
  readonly #request: RemoteBuildRequest;
  readonly #options: RemoteCacheOptions;
  readonly #images: RemoteImages;
  readonly #plan: BuildPlan;
  readonly #spool: Spool;
  #target: PlannedStage | undefined;
  #found: FoundSteps | undefined;

  constructor(
    deps: RemoteBuildDeps,
    sources: BuildSources,
    { request, options }: { readonly request: RemoteBuildRequest; readonly options: RemoteCacheOptions },
  ) {
    this.#deps = deps;
    this.#request = request;
    this.#options = options;
    this.#images = new RemoteImages(deps, request);
    this.#plan = new BuildPlan(request, sources, this.#images);
    this.#spool = new Spool(deps.temporaryDirectory);
  }

  /**
   * Looks for the steps: one HEAD each, all at once, and two requests for the record of the last one found. Registries that fail
   * are a remark only. Throws DockerfileError, what reading documents of bases throws, AbortError.
   */
  async look(): Promise<void> {
    this.#target = await this.#plan.target();
    const { noCache } = this.#request;
    if (noCache !== false) return;
    const { steps } = this.#target;
    const known = steps.slice(
      0,
      countWhile(steps, ({ key }) => key !== undefined),
    );
    if (known.length === 0) return;
    for (const place of this.#options.from) {
      const found = await this.#tolerated(place, () => this.#lookIn(place, known));
      if ((found?.layers.length ?? 0) > (this.#found?.layers.length ?? 0)) this.#found = found;
    }
  }

  /** The image when all its steps were found, copied to the destinations without fetching a layer; undefined: some were not. */
  async deliver(): Promise<RemoteBuildResult | undefined> {
    const started = performance.now();
    const [target, found] = [this.#target!, this.#found];
    const { destinations, squash } = this.#request;
    if (found?.layers.length !== target.steps.length || destinations.length === 0 || squash) return undefined;
    const { state, image } = target;
    const dates = found.layers.map(({ created }) => created);
    for (const [index, { entry, isNew }] of state.history.entries())
      if (entry.created === NOT_MADE) state.history[index] = { isNew, entry: { ...entry, created: dates.shift()! } };
    const sources = new Map<Descriptor['digest'], ReopenableBlob>();
    for (const { blob, diffId } of found.layers) {
      state.layers.push({ kind: 'base', blob, diffId });
      sources.set(blob.digest, reopenable(await found.artifacts.blob(blob)));
    }
    const known = found.layers.map(({ blob }) => ({ place: found.artifacts.reference, digest: blob.digest }));
    const result = await deliver(this.#deps, { state, base: image?.source, sources, known }, this.#request);
    return {
      ...result,
      layers: result.layers.map((layer) => ({ ...layer, state: 'present' as const })),
      steps: target.steps.map((step): StepReport => reportOf(step)),
      seconds: (performance.now() - started) / 1000,
    };
  }

  /**
   * What the executor need not do: steps whose layers are here to be unpacked, and stages that only such steps use. `createApplier`:
   * starts the unpacking threads.
   */
  async imports(
    createApplier: () => LayerApplier | Promise<LayerApplier>,
  ): Promise<Pick<BuildRequest, 'importStep' | 'isSkipped'>> {
    const [target, found] = [this.#target!, this.#found];
    if (found === undefined) return {};
    const layers = new Map(
      found.layers.map((layer, index) => [placeOf(target.steps[index]!), { layer, step: target.steps[index]! }]),
    );
    const needed = await this.#plan.needed(target, (step) => layers.has(placeOf(step)));
    return {
      isSkipped: (stage) => !needed.has(stage),
      importStep: (stage, number): ImportedStep | undefined => {
        const known = layers.get(placeOf({ stage, number }));
        if (known === undefined) return undefined;
        const { blob } = known.layer;
        return {
          key: known.step.key!,
          write: async (directory) => {
            const source = reopenable(await found.artifacts.blob(blob));
            await this.#unpack(source, { ...known.layer, directory, createApplier });
          },
        };
      },
    };
  }

  /** Keeps the steps of a built image that are not kept yet. Registries that fail are a remark only. Throws AbortError. */
  async keep({ layers, dates, open, pushedTo }: LayersToKeep): Promise<void> {
    const { steps } = this.#target!;
    if (layers.length < steps.length || dates.length !== layers.length) return;
    const below = layers.length - steps.length;
    const [own, created] = [layers.slice(below), dates.slice(below)];
    const made = own.map(({ blob, diffId }, i): CachedLayer => ({ blob: plain(blob), diffId, created: created[i]! }));
    const known = steps.slice(
      0,
      countWhile(steps, ({ key }) => key !== undefined),
    );
    const { signal } = this.#request;
    for (const place of this.#options.to) {
      await this.#tolerated(place, async () => {
        const artifacts = new StepArtifacts(this.#deps.registry, { reference: place, signal });
        const kept = await artifacts.find(known.map(({ key }) => key!));
        const mountFrom = pushedTo
          .filter(({ host, repository }) => host === place.host && repository !== place.repository)
          .map(({ repository }) => repository);
        for (const [index, { key }] of known.entries()) {
          if (kept.has(key!)) continue;
          await artifacts.add(key!, { layers: made.slice(0, index + 1), blob: open(made[index]!.blob), mountFrom });
        }
      });
    }
  }

  async close(): Promise<void> {
    await this.#images.close();
    this.#spool.close();
  }

  async #lookIn(reference: Repository, steps: readonly PlannedStep[]): Promise<FoundSteps | undefined> {
    const { signal } = this.#request;
    const artifacts = new StepArtifacts(this.#deps.registry, { reference, signal });
    const kept = await artifacts.find(steps.map(({ key }) => key!));
    for (let count = steps.length; count > 0; count -= 1) {
      const { key } = steps[count - 1]!;
      if (!kept.has(key!)) continue;
      const layers = await artifacts.layers(key!);
      if (layers.length !== count) continue;
      const { ttlMs = Infinity } = this.#options;
      const fresh = countWhile(layers, ({ created }) => Date.now() - Date.parse(created) <= ttlMs);
      return fresh === 0 ? undefined : { artifacts, layers: layers.slice(0, fresh) };
    }
    return undefined;
  }

  async #tolerated<T>({ host, repository }: Repository, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#request.signal.throwIfAborted();
      if (!(error instanceof ImgtoolError)) throw error;
      this.#deps.progress.note(`warning: the remote cache ${host}/${repository} is not used: ${error.message}`);
      return undefined;
    }
  }

  async #unpack(
    blob: ReopenableBlob,
    {
      diffId,
      directory,
      createApplier,
    }: {
      readonly diffId: DiffId;
      readonly directory: string;
      readonly createApplier: () => LayerApplier | Promise<LayerApplier>;
    },
  ): Promise<void> {
    const { signal } = this.#request;
    const file = await fetchLayer(blob, { spool: this.#spool, progress: this.#deps.progress, signal });
    const applier = await createApplier();
    try {
      const growing = GrowingFile.complete(file.size);
      const applied = await applier.apply({ fd: file.fd, growing, root: directory, signal });
      if (applied.diffId !== diffId)
        throw diffIdError(blob.descriptor.digest, { expected: diffId, actual: applied.diffId });
    } finally {
      await applier.close();
      this.#spool.drop(file.fd);
    }
  }
}

function reportOf({ instruction, stage }: PlannedStep): StepReport {
  const { file, start, text } = instruction;
  return { stage: `stage-${stage}`, file, line: start.line, text, cached: true, seconds: 0 };
}

function placeOf({ stage, number }: Pick<PlannedStep, 'stage' | 'number'>): string {
  return `${stage}:${number}`;
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function countWhile<T>(values: readonly T[], holds: (value: T) => boolean): number {
  const end = values.findIndex((value) => !holds(value));
  return end < 0 ? values.length : end;
}
