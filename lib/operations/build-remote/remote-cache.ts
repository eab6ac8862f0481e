import type { LayerApplier } from '../../layer/index.js';
import type { BuildRequest, ImportedStep } from '../build/index.js';
import { Spool, type BuildSources } from '../build-context/index.js';
import { reopenable } from '../registry/index.js';
import { GrowingFile } from '../../util/index.js';
import type { Descriptor, DiffId, Reference, ReopenableBlob } from '../../spec/index.js';
import { diffIdError, fetchLayer } from './layer-indexes.js';
import { BuildPlan, type PlannedStage, type PlannedStep } from './plan-build.js';
import { RemoteImages } from './remote-images.js';
import { StepArtifacts, type CachedLayer } from './step-artifacts.js';
import { tolerated } from './tolerated.js';
import type { RemoteBuildDeps, RemoteBuildRequest } from './types.js';

type Repository = Pick<Reference, 'host' | 'repository'>;

/** Where steps are looked for and kept. */
export interface RemoteCacheOptions {
  readonly from: readonly Repository[];
  readonly to: readonly Repository[];
  /** Steps older than this are not taken, milliseconds. */
  readonly ttlMs?: number | undefined;
}

/** A step that was found at a registry. */
export interface CachedStep extends CachedLayer {
  readonly key: string;
  /** The repository that has it. */
  readonly place: Repository;
  readonly open: () => Promise<ReopenableBlob>;
}

/** The steps of a build that need not be run because a registry has their layers. */
export interface CachedSteps {
  /** Whether these are all steps of the target. */
  readonly isWhole: boolean;
  /** Whether one of the other steps is a RUN. */
  readonly hasRun: boolean;
  /** Whether the stage is needed by these steps only. */
  readonly isSkipped: (stage: number) => boolean;
  /** A step by its stage and the number of its instruction, from 1; undefined: it has to be run. */
  readonly step: (stage: number, number: number) => CachedStep | undefined;
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
  readonly #sources: BuildSources;
  readonly #request: RemoteBuildRequest;
  readonly #options: RemoteCacheOptions;
  /** Images that stages begin with or copy from; closed with the cache. */
  readonly images: RemoteImages;
  readonly #plan: BuildPlan;
  readonly #spool: Spool;
  /** Keys that repositories were found to have. */
  readonly #kept = new Map<string, ReadonlySet<string>>();
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
    this.images = new RemoteImages(deps, request);
    this.#sources = sources;
    this.#plan = new BuildPlan(request, sources, this.images);
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
      const found = await tolerated(this.#deps, this.#onFailure(place), () => this.#lookIn(place, known));
      if ((found?.layers.length ?? 0) > (this.#found?.layers.length ?? 0)) this.#found = found;
    }
  }

  /** The steps that were found; undefined: none was. */
  async found(): Promise<CachedSteps | undefined> {
    const [target, found] = [this.#target!, this.#found];
    if (found === undefined) return undefined;
    const layers = new Map(
      found.layers.map((layer, index): [string, CachedStep] => {
        const { key } = target.steps[index]!;
        const blob = async (): Promise<ReopenableBlob> => reopenable(await found.artifacts.blob(layer.blob));
        return [placeOf(target.steps[index]!), { ...layer, key: key!, place: found.artifacts.reference, open: blob }];
      }),
    );
    const { stages, steps } = await this.#plan.remaining(target, (step) => layers.has(placeOf(step)));
    return {
      isWhole: steps.length === 0,
      hasRun: steps.some(({ instruction }) => instruction.keyword === 'RUN'),
      isSkipped: (stage) => !stages.has(stage),
      step: (stage, number) => layers.get(placeOf({ stage, number })),
    };
  }

  /**
   * What the executor need not do: steps whose layers are here to be unpacked, and stages that only such steps use. `createApplier`:
   * starts the unpacking threads.
   */
  async imports(
    createApplier: () => LayerApplier | Promise<LayerApplier>,
  ): Promise<Pick<BuildRequest, 'importStep' | 'isSkipped'>> {
    const found = await this.found();
    if (found === undefined) return {};
    return {
      isSkipped: found.isSkipped,
      importStep: (stage, number): ImportedStep | undefined => {
        const step = found.step(stage, number);
        if (step === undefined) return undefined;
        return {
          key: step.key,
          write: async (directory) => this.#unpack(await step.open(), { ...step, directory, createApplier }),
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
    const made = own.map(({ blob, diffId }, i): CachedLayer => {
      return { blob: plain(blob), diffId, created: this.#madeAt(i, created[i]!) };
    });
    const known = steps.slice(
      0,
      countWhile(steps, ({ key }) => key !== undefined),
    );
    const { signal } = this.#request;
    for (const place of this.#options.to) {
      await tolerated(this.#deps, this.#onFailure(place), async () => {
        const artifacts = new StepArtifacts(this.#deps.registry, { reference: place, signal });
        const kept = await this.#keptAt(place, artifacts, known);
        if (known.every(({ key }) => kept.has(key!))) return;
        const unchanged = await this.#countUnchanged();
        const mountFrom = [...pushedTo, ...(this.#found === undefined ? [] : [this.#found.artifacts.reference])]
          .filter(({ host, repository }) => host === place.host && repository !== place.repository)
          .map(({ repository }) => repository);
        for (const [index, { key }] of known.slice(0, unchanged).entries()) {
          if (kept.has(key!)) continue;
          await artifacts.add(key!, { layers: made.slice(0, index + 1), open, mountFrom });
        }
      });
    }
  }

  async close(): Promise<void> {
    await this.images.close();
    this.#spool.close();
  }

  /** When a step was made. SOURCE_DATE_EPOCH dates its layer; --cache-ttl counts from when it was kept then. */
  #madeAt(index: number, date: string): string {
    if (this.#request.sourceDateEpoch === undefined) return date;
    return this.#found?.layers[index]?.created ?? new Date().toISOString();
  }

  /**
   * How many steps have the key that they had before the build. Others copied files of a context that changed in between: the key does
   * not stand for their layers.
   */
  async #countUnchanged(): Promise<number> {
    const { steps } = await new BuildPlan(this.#request, this.#sources, this.images).target();
    return countWhile(this.#target!.steps, ({ key }, index) => key !== undefined && key === steps[index]?.key);
  }

  /** Keys of the steps that the repository has already. */
  async #keptAt(
    place: Repository,
    artifacts: StepArtifacts,
    steps: readonly PlannedStep[],
  ): Promise<ReadonlySet<string>> {
    if (this.#request.noCache === true) return new Set();
    return this.#kept.get(nameOf(place)) ?? artifacts.find(steps.map(({ key }) => key!));
  }

  async #lookIn(reference: Repository, steps: readonly PlannedStep[]): Promise<FoundSteps | undefined> {
    const { signal } = this.#request;
    const artifacts = new StepArtifacts(this.#deps.registry, { reference, signal });
    const kept = new Set(await artifacts.find(steps.map(({ key }) => key!)));
    this.#kept.set(nameOf(reference), kept);
    for (let count = steps.length; count > 0; count -= 1) {
      const { key } = steps[count - 1]!;
      if (!kept.has(key!)) continue;
      const layers = await artifacts.layers(key!);
      if (layers.length !== count) continue;
      const { ttlMs = Infinity } = this.#options;
      const fresh = countWhile(layers, ({ created }) => Date.now() - Date.parse(created) <= ttlMs);
      // A step that is too old is run again and replaced.
      for (const old of steps.slice(fresh)) kept.delete(old.key!);
      return fresh === 0 ? undefined : { artifacts, layers: layers.slice(0, fresh) };
    }
    return undefined;
  }

  #onFailure(place: Repository): Parameters<typeof tolerated>[1] {
    return { failure: `the remote cache ${nameOf(place)} is not used`, signal: this.#request.signal };
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

function nameOf({ host, repository }: Repository): string {
  return `${host}/${repository}`;
}

function placeOf({ stage, number }: Pick<PlannedStep, 'stage' | 'number'>): string {
  return `${stage}:${number}`;
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function countWhile<T>(values: readonly T[], holds: (value: T, index: number) => boolean): number {
  const end = values.findIndex((value, index) => !holds(value, index));
  return end < 0 ? values.length : end;
}
