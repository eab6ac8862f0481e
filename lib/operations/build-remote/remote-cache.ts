import type { LayerApplier } from '../../layer/index.js';
import type { BuildRequest, ImportedStep } from '../build/index.js';
import { Spool, type BuildSources } from '../build-context/index.js';
import { type Close, closeAll, GrowingFile, thenCloseAll } from '../../util/index.js';
import type { Descriptor, DiffId, ReopenableBlob } from '../../spec/index.js';
import { CacheRepository, isCacheFault, tolerating, type Repository } from './cache-repository.js';
import { diffIdError, fetchLayer, type RemoteLayer } from './layer-indexes.js';
import { BuildPlan, type PlannedStage, type PlannedStep } from './plan-build.js';
import { RemoteImages } from './remote-images.js';
import { findSteps, keepStep, readStep, type CachedLayer } from './step-artifacts.js';
import type { RemoteBuildDeps, RemoteBuildRequest } from './types.js';

/** Repositories for reading and storing steps. */
export interface RemoteCacheOptions {
  readonly from: readonly Repository[];
  readonly to: readonly Repository[];
  /** Maximum age of steps in ms. */
  readonly ttlMs?: number | undefined;
}

/** A step found at a registry. */
export interface CachedStep extends CachedLayer {
  /** Its index among the target's steps. */
  readonly index: number;
  readonly key: string;
  /** The repository of its layer. */
  readonly place: Repository;
  /** Opens its layer; `dropFaulty` considers its faults. */
  readonly open: () => Promise<RemoteLayer>;
}

/** The steps of a build that need not run because a registry has their layers. */
export interface CachedSteps {
  /** True if these are all steps of the target. */
  readonly isWhole: boolean;
  /** True if any of the other steps is a RUN. */
  readonly hasRun: boolean;
  /** Reports whether only these steps need the stage. */
  readonly isSkipped: (stage: number) => boolean;
  /** A step by stage and instruction number (from 1); undefined if it must run. */
  readonly step: (stage: number, number: number) => CachedStep | undefined;
}

/** The steps found: a prefix of the target's steps. */
interface FoundSteps {
  readonly repository: CacheRepository;
  readonly layers: readonly CachedLayer[];
}

/** A built image, for `keep`. */
export interface LayersToKeep {
  /** All layers of the image, oldest first. */
  readonly layers: readonly { readonly blob: Descriptor; readonly diffId: DiffId }[];
  /** Date of each layer, RFC 3339. */
  readonly dates: readonly string[];
  readonly open: (blob: Descriptor) => ReopenableBlob;
  /** Repositories that have the layers. */
  readonly pushedTo: readonly Repository[];
}

/**
 * The remote cache of one build: steps of the target and its base stages, stored at registries under keys known before
 * the build. The caller closes it.
 */
export class RemoteCache {
  readonly #deps: RemoteBuildDeps;
  readonly #sources: BuildSources;
  readonly #request: RemoteBuildRequest;
  readonly #options: RemoteCacheOptions;
  /** Base images and images that stages copy from; closed with the cache. */
  readonly images: RemoteImages;
  readonly #plan: BuildPlan;
  readonly #spool: Spool;
  /** Keys found in each repository. */
  readonly #kept = new Map<string, Set<string>>();
  /** Errors of unreadable layers, by index among the target's steps. */
  readonly #faults = new Map<number, Error>();
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
   * Looks up the steps: one HEAD each, all at once, and two requests for the record of the last one found. A registry
   * failure is only a note. Throws DockerfileError, the errors of reading base documents, AbortError.
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
      const repository = this.#repository(place);
      const found = await this.#tolerating(repository, () => this.#lookIn(repository, known));
      if ((found?.layers.length ?? 0) > (this.#found?.layers.length ?? 0)) this.#found = found;
    }
  }

  /** The steps found; undefined if there are none. */
  async found(): Promise<CachedSteps | undefined> {
    const [target, found] = [this.#target!, this.#found];
    if (found === undefined) return undefined;
    const layers = new Map(
      found.layers.map((layer, index): [string, CachedStep] => {
        const step = target.steps[index]!;
        const { repository } = found;
        const onFault = this.#faultOf(index);
        const open = async (): Promise<RemoteLayer> => {
          return { blob: await repository.layer(layer.blob, onFault), diffId: layer.diffId, onFault };
        };
        return [placeOf(step), { ...layer, index, key: step.key!, place: repository.place, open }];
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

  /** Drops steps with unreadable layers and all later ones, with a warning. Returns false if there are none. */
  dropFaulty(): boolean {
    const [found, index] = [this.#found, Math.min(...this.#faults.keys())];
    const error = this.#faults.get(index);
    this.#faults.clear();
    if (found === undefined || index >= found.layers.length) return false;
    const { steps } = this.#target!;
    const { instruction } = steps[index]!;
    const what = `${instruction.file}:${instruction.start.line}: the layer at the remote cache ${found.repository.name} is not used`;
    this.#deps.progress.note(`warning: ${what}: ${error?.message}`);
    // They are built again and replaced.
    for (const { key } of steps.slice(index)) this.#kept.get(found.repository.name)?.delete(key!);
    this.#found = index === 0 ? undefined : { ...found, layers: found.layers.slice(0, index) };
    return true;
  }

  /** The work that the executor can skip: steps whose layers can be unpacked, and stages that only such steps use. */
  async imports(
    createApplier: () => LayerApplier | Promise<LayerApplier>,
  ): Promise<Pick<BuildRequest, 'importStep' | 'isSkipped'>> {
    const found = await this.found();
    if (found === undefined) return {};
    return {
      isSkipped: found.isSkipped,
      importStep: (stage, number): ImportedStep | undefined => {
        const step = found.step(stage, number);
        const now = this.#found;
        if (step === undefined || now === undefined || step.index >= now.layers.length) return undefined;
        const { index, key } = step;
        const how = { onFault: this.#faultOf(index), signal: this.#request.signal };
        const unpack = async (directory: string): Promise<true> => {
          await this.#unpack(await now.repository.layer(step.blob), { ...step, directory, createApplier });
          return true;
        };
        return {
          key,
          write: async (directory) => {
            if ((await tolerating(how, () => unpack(directory))) === true) return true;
            this.dropFaulty();
            return false;
          },
        };
      },
    };
  }

  /** Uploads the steps of a built image that are not in the cache. A registry failure is only a note. Throws AbortError. */
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
    for (const place of this.#options.to) {
      const repository = this.#repository(place);
      await this.#tolerating(repository, async () => {
        const kept = await this.#keptAt(repository, known);
        if (known.every(({ key }) => kept.has(key!))) return;
        const unchanged = await this.#countUnchanged();
        const mountFrom = [...pushedTo, ...(this.#found === undefined ? [] : [this.#found.repository.place])]
          .filter(({ host, repository }) => host === place.host && repository !== place.repository)
          .map(({ repository }) => repository);
        for (const [index, { key }] of known.slice(0, unchanged).entries()) {
          if (kept.has(key!)) continue;
          await keepStep(repository, key!, { layers: made.slice(0, index + 1), open, mountFrom });
        }
      });
    }
  }

  async close(): Promise<void> {
    await closeAll([() => this.images.close(), () => this.#spool.close()]);
  }

  /** The time at which a step was built. With SOURCE_DATE_EPOCH, which fixes its layer's date, --cache-ttl counts from the upload instead. */
  #madeAt(index: number, date: string): string {
    if (this.#request.sourceDateEpoch === undefined) return date;
    return this.#found?.layers[index]?.created ?? new Date().toISOString();
  }

  /**
   * The number of leading steps whose key is the same as before the build. The files of later ones changed during it,
   * so their keys do not match their layers.
   */
  async #countUnchanged(): Promise<number> {
    const { steps } = await new BuildPlan(this.#request, this.#sources, this.images).target();
    return countWhile(this.#target!.steps, ({ key }, index) => key !== undefined && key === steps[index]?.key);
  }

  /** Keys of the steps that the repository already has. */
  async #keptAt(repository: CacheRepository, steps: readonly PlannedStep[]): Promise<ReadonlySet<string>> {
    if (this.#request.noCache === true) return new Set();
    return this.#kept.get(repository.name) ?? keysIn(repository, steps);
  }

  async #lookIn(repository: CacheRepository, steps: readonly PlannedStep[]): Promise<FoundSteps | undefined> {
    const kept = await keysIn(repository, steps);
    this.#kept.set(repository.name, kept);
    for (let count = steps.length; count > 0; count -= 1) {
      const { key } = steps[count - 1]!;
      if (!kept.has(key!)) continue;
      const layers = await readStep(repository, key!);
      if (layers.length !== count) continue;
      const { ttlMs = Infinity } = this.#options;
      const fresh = countWhile(layers, ({ created }) => Date.now() - Date.parse(created) <= ttlMs);
      // An expired step runs again and is replaced.
      for (const old of steps.slice(fresh)) kept.delete(old.key!);
      return fresh === 0 ? undefined : { repository, layers: layers.slice(0, fresh) };
    }
    return undefined;
  }

  #repository(place: Repository): CacheRepository {
    return new CacheRepository(this.#deps.registry, place, this.#request.signal);
  }

  #tolerating<T>({ name }: CacheRepository, work: () => Promise<T>): Promise<T | undefined> {
    const onFault = ({ message }: Error): void =>
      this.#deps.progress.note(`warning: the remote cache ${name} is not used: ${message}`);
    return tolerating({ onFault, signal: this.#request.signal }, work);
  }

  /** Records why a step's layer is unusable; undefined clears it. */
  #faultOf(index: number): (error: unknown) => void {
    return (error) => {
      if (error === undefined) this.#faults.delete(index);
      else if (isCacheFault(error)) this.#faults.set(index, error);
    };
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
    const closes: Close[] = [() => this.#spool.drop(file.fd)];
    await thenCloseAll(async () => {
      const applier = await createApplier();
      closes.push(() => applier.close());
      const { fd, size } = file;
      const applied = await applier.apply({ fd, growing: GrowingFile.complete(size), size, root: directory, signal });
      if (applied.diffId !== diffId)
        throw diffIdError(blob.descriptor.digest, { expected: diffId, actual: applied.diffId });
    }, closes);
  }
}

async function keysIn(repository: CacheRepository, steps: readonly PlannedStep[]): Promise<Set<string>> {
  return findSteps(
    repository,
    steps.map(({ key }) => key!),
  );
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
