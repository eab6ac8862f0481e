import {
  globalVariables,
  instructionError,
  StageGraph,
  type BuildInputs,
  type ResolvedStage,
  type StageInstruction,
  type StageSource,
} from '../../dockerfile/index.js';
import {
  compressionOfType,
  formatOf,
  formatPlatform,
  formatReference,
  hostPlatform,
  layerMediaType,
  parseTransportName,
  type Descriptor,
  type Platform,
} from '../../spec/index.js';
import { imageConfigOf, manifestTypeOf, StageState, StepLog, type StageBase } from '../build/index.js';
import { Spool, type BuildContext, type BuildSources } from '../build-context/index.js';
import { createdAt } from '../store/index.js';
import { copyImage, CopyLimits, KnownBlobs, openDestination, tagsOf, type CopyTarget } from '../copy/index.js';
import { BuiltImage, documentsOf } from './built-image.js';
import { buildStage } from './build-stage.js';
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
 * Builds an image whose stages have no RUN and copies it to its destinations. Nothing is unpacked and nothing needs root: layers of
 * the base are mounted or copied as they are, and what COPY has to know of them is read from their headers. The digest is that of
 * the same build in a store. Throws DockerfileError, what reading the base throws, what copying throws, AbortError.
 */
export async function buildWithoutStore(
  deps: RemoteBuildDeps,
  sources: BuildSources,
  request: RemoteBuildRequest,
): Promise<RemoteBuildResult> {
  const started = performance.now();
  const build = new RemoteBuild(deps, sources, request);
  try {
    const result = await build.run();
    return { ...result, seconds: (performance.now() - started) / 1000 };
  } finally {
    await build.close();
  }
}

function graphOf(
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

  async run(): Promise<Omit<RemoteBuildResult, 'seconds'>> {
    const { graph } = this.#parts;
    const request = this.#request;
    // Names that are wrong are told before anything is done.
    request.destinations.forEach(parseTransportName);
    const target = graph.target(request.target);
    const needed = graph.needed(target);
    await Promise.all(needed.map((stage) => this.#imageBase(stage)));
    for (const { stage } of needed) await this.#stage(stage.index);
    const { state, built, image } = await this.#stage(target.stage.index);
    const layers = state.layers.flatMap((layer) => (layer.kind === 'base' ? [layer] : []));
    const mediaType = manifestTypeOf(request);
    const blobs = layers.map(({ blob }) => this.#inFormat(blob, mediaType));
    const config = imageConfigOf(state, { diffIds: layers.map(({ diffId }) => diffId) }, request);
    const documents = documentsOf(config, { layers: blobs, mediaType, annotations: request.annotations });
    await this.#copy(new BuiltImage(documents, built, image?.source));
    const own = new Set(built.map(({ blob }) => blob.digest));
    return {
      id: documents.config.digest,
      digest: documents.manifest.descriptor.digest,
      names: request.references.map(formatReference),
      platform: formatPlatform(state.platform),
      layers: blobs.map(({ digest, size }) => ({ digest, size, state: own.has(digest) ? 'packed' : 'present' })),
      steps: this.#log.reports,
    };
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#stages.values());
    await this.#images.close();
    this.#spool.close();
  }

  async #copy(source: BuiltImage): Promise<void> {
    const { destinations, signal } = this.#request;
    const known = new KnownBlobs();
    const { repository } = source;
    // Blobs of the base are mounted from its repository.
    const from = parseTransportName(
      repository === undefined ? 'oci:built' : `docker://${repository.host}/${repository.repository}`,
    );
    const targets: CopyTarget[] = [];
    try {
      for (const text of destinations) {
        const name = parseTransportName(text);
        const destination = await openDestination(this.#deps, name, { from, known, signal });
        targets.push({ destination, tags: tagsOf(name, from, []) });
      }
      await copyImage(
        {
          progress: this.#deps.progress,
          limits: new CopyLimits(this.#deps.parallel),
          convert: this.#deps,
          foreignBlob: (blob) => (this.#deps.sourceRegistry ?? this.#deps.registry).foreignBlob(blob),
        },
        {
          ...{ source, selector: {}, targets, preserveDigests: true, referrers: false, signal },
          selection: { kind: 'all' },
        },
      );
    } finally {
      for (const { destination } of targets) await destination.close();
    }
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
    await buildStage(resolved.stage, begun.config?.config?.OnBuild ?? [], {
      ...{ state, files, sources: this.#sources, log: this.#log, signal },
      stageName: name ?? `stage-${index}`,
      baseName: from.base,
      created: createdAt(sourceDateEpoch),
      createdNs: BigInt(this.#createdMs) * 1_000_000n,
      findSource: (wanted, instruction) => this.#source(wanted, resolved, instruction),
      onLayer: (layer) => {
        built.push(layer);
        state.layers.push({ kind: 'base', blob: layer.blob, diffId: layer.diffId });
      },
    });
    return { state, files, built, image };
  }

  async #imageBase({ base, platform, stage }: ResolvedStage): Promise<RemoteImage | undefined> {
    if (base.kind === 'image') return this.#images.find(base.reference, platform);
    if (base.kind !== 'context') return undefined;
    const image = this.#sources.imageOf(base.name);
    if (image !== undefined) return this.#images.find(image, platform);
    throw instructionError(
      stage.from,
      `the build context ${base.name} is a directory, not an image`,
      `give an image: --build-context ${base.name}=docker-image://REF`,
    );
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

  #inFormat(blob: Descriptor, manifestType: string): Descriptor {
    const format = formatOf(manifestType);
    return { ...blob, mediaType: layerMediaType(format, compressionOfType(blob.mediaType), blob.mediaType) };
  }
}

function baseOf({ config, layers }: RemoteImage): StageBase {
  const { os, architecture, variant } = config;
  const platform: Platform = variant === undefined ? { os, architecture } : { os, architecture, variant };
  return {
    config,
    platform,
    tree: undefined,
    layers: layers.map(({ blob, diffId }) => ({ kind: 'base', blob, diffId })),
    history: (config.history ?? []).map((entry) => ({ entry, isNew: false })),
  };
}
