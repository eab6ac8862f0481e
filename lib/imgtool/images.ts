import { ImgtoolError, InvalidReferenceError, NotFoundError, UsageError } from '../errors.js';
import type {
  ContainerSummary,
  FoundImage,
  HistoryStep,
  ImageTree,
  Inspection,
  NamedImage,
  PullPlan,
  PullPolicy,
  PullRequest,
  PullResult,
  PushPlan,
  PushRequest,
  PushResult,
  RemovedImage,
} from '../operations/index.js';
import { isTag, parseReference, parseRepository, type ExecutionConfig, type Reference } from '../spec/index.js';
import { ifFound } from '../util/index.js';
import { bytesOf, checkOptions, checkText, type OptionKinds } from './check-options.js';
import {
  FOR_PLATFORM,
  platformOf,
  RESERVING,
  signalOf,
  STOPPABLE,
  type ForPlatform,
  type Reserving,
  type Stoppable,
} from './common.js';
import { compressionOf } from './conversion.js';
import type { Drivers } from './drivers.js';
import { DEFAULTS } from './defaults.js';

export interface PullOptions extends Stoppable, ForPlatform, Reserving {
  /** When to ask the registry. Default: `always`. */
  readonly policy?: PullPolicy | undefined;
}

export interface PlanPullOptions extends Stoppable, ForPlatform {}

export interface PushOptions extends Stoppable {
  /** Destination reference. Default: the name of the image. */
  readonly to?: string | undefined;
  /** Further tags to set. */
  readonly tags?: readonly string[] | undefined;
  /** Default: the manifest is sent unchanged. */
  readonly format?: PushRequest['format'];
  /** `gzip` or `zstd`, optionally with `:LEVEL`. Default: layers are sent unchanged. */
  readonly compression?: string | undefined;
}

export interface InspectOptions extends Stoppable, ForPlatform {
  /** Default: an image if there is one, else a container. */
  readonly type?: 'image' | 'container' | undefined;
}

/** An image with its manifest or index as `raw` and its config, byte for byte. */
export interface InspectedAsImage extends Inspection {
  readonly type: 'image';
}

export interface InspectedAsContainer {
  readonly type: 'container';
  readonly container: ContainerSummary;
  /** The execution settings of its image; null if the image is no longer in the store. */
  readonly config: ExecutionConfig | null;
}

export interface RemoveImageOptions extends Stoppable {
  /** Removes a name even if a container uses the image. */
  readonly force?: boolean | undefined;
}

const PULL: OptionKinds<PullOptions> = {
  ...{ ...STOPPABLE, ...FOR_PLATFORM, ...RESERVING },
  policy: ['always', 'missing', 'newer', 'never'],
};
const PLAN_PULL: OptionKinds<PlanPullOptions> = { ...STOPPABLE, ...FOR_PLATFORM };
const PUSH: OptionKinds<PushOptions> = {
  ...STOPPABLE,
  ...{ to: 'text', tags: 'texts', format: ['oci', 'v2s2', 'v2s1', 'v1'], compression: 'text' },
};
const INSPECT: OptionKinds<InspectOptions> = { ...STOPPABLE, ...FOR_PLATFORM, type: ['image', 'container'] };
const REMOVE: OptionKinds<RemoveImageOptions> = { ...STOPPABLE, force: 'flag' };

export async function pull(drivers: Drivers, ref: string, given: PullOptions): Promise<PullResult> {
  checkText('pull', 'the reference', ref);
  const options = checkOptions('pull', given, PULL);
  return pullReference(drivers, parseReference(await drivers.fullName(ref)), options);
}

export async function pullAll(drivers: Drivers, repository: string, given: PullOptions): Promise<PullResult[]> {
  checkText('pullAll', 'the repository', repository);
  const options = checkOptions('pullAll', given, PULL);
  const results: PullResult[] = [];
  for (const reference of await tagsOf(drivers, repository, options))
    results.push(await pullReference(drivers, reference, options));
  return results;
}

/** Pulls an image into the store. Throws the errors of `pullImage`. */
export async function pullReference(
  drivers: Drivers,
  reference: PullRequest['reference'],
  options: PullOptions,
): Promise<PullResult> {
  const request = {
    reference,
    ...platformOf(options),
    policy: options.policy ?? 'always',
    reserveBytes: bytesOf(options.reserve, DEFAULTS.reserve),
  };
  const { pullImage } = await import('../operations/pull/index.js');
  return pullImage(await drivers.all(reference), { ...request, signal: signalOf(options) });
}

export async function planPull(drivers: Drivers, ref: string, given: PlanPullOptions): Promise<PullPlan> {
  checkText('planPull', 'the reference', ref);
  const options = checkOptions('planPull', given, PLAN_PULL);
  const [plan] = await planReferences(drivers, [parseReference(await drivers.fullName(ref))], options);
  return plan!;
}

export async function planPullAll(drivers: Drivers, repository: string, given: PlanPullOptions): Promise<PullPlan[]> {
  checkText('planPullAll', 'the repository', repository);
  const options = checkOptions('planPullAll', given, PLAN_PULL);
  return planReferences(drivers, await tagsOf(drivers, repository, options), options);
}

/** Plans the pull of references of one registry in order; content that several of them share counts once. */
async function planReferences(
  drivers: Drivers,
  references: readonly Reference[],
  options: PlanPullOptions,
): Promise<PullPlan[]> {
  const operations = await import('../operations/pull/index.js');
  const [local, remote] = await Promise.all([drivers.localIfThere(), drivers.remote(references[0])]);
  const deps = { progress: drivers.progress, ...local, ...remote };
  const query = { ...platformOf(options), signal: signalOf(options) };
  const planned = new Set<string>();
  const plans: PullPlan[] = [];
  for (const reference of references) plans.push(await operations.planPull(deps, { reference, ...query }, planned));
  return plans;
}

/** All tags of a repository, as references. */
async function tagsOf(drivers: Drivers, repository: string, options: Stoppable): Promise<Reference[]> {
  const place = parseRepository(await drivers.fullName(repository));
  const { listTags } = await import('../operations/registry/index.js');
  const tags = await listTags(await drivers.remote(place), place, { signal: signalOf(options) });
  return tags.map((tag) => ({ ...place, tag }));
}

export async function push(drivers: Drivers, image: string, given: PushOptions): Promise<PushResult> {
  const { deps, request } = await preparePush('push', drivers, image, given);
  return (await import('../operations/push/index.js')).pushImage(deps, request);
}

export async function planPush(drivers: Drivers, image: string, given: PushOptions): Promise<PushPlan> {
  const { deps, request } = await preparePush('planPush', drivers, image, given);
  return (await import('../operations/push/index.js')).planPush(deps, request);
}

/** Pushes every name that the store has in a repository. Throws NotFoundError if there is none. */
export async function pushAll(drivers: Drivers, repository: string, given: PushOptions): Promise<PushResult[]> {
  checkText('pushAll', 'the repository', repository);
  if (given.to !== undefined) throw new UsageError('pushAll: images go to their own repository, not to another');
  const { host, repository: path } = parseRepository(await drivers.fullName(repository));
  const { listImages } = await import('../operations/store/index.js');
  const names = (await listImages(await drivers.local())).flatMap((image) => image.names);
  const own = names.filter((name) => name.startsWith(`${host}/${path}:`)).sort();
  if (own.length === 0) {
    throw new NotFoundError(`there is no image of ${host}/${path} in the store`, {
      kind: 'image',
      subject: repository,
      hint: 'see "imgtool images"; "imgtool tag" gives an image a name there',
    });
  }
  const results: PushResult[] = [];
  for (const name of own) results.push(await push(drivers, name, given));
  return results;
}

async function preparePush(method: string, drivers: Drivers, image: string, given: PushOptions) {
  checkText(method, 'the image', image);
  const options = checkOptions(method, given, PUSH);
  const tags = options.tags ?? [];
  for (const tag of tags) {
    if (!isTag(tag))
      throw new InvalidReferenceError(`${JSON.stringify(tag.slice(0, 200))} is not a tag`, { input: tag });
  }
  const compression = compressionOf(options);
  const to = options.to === undefined ? undefined : parseReference(options.to);
  const [{ findImage }, local] = await Promise.all([import('../operations/store/index.js'), drivers.local()]);
  const found = await findImage(local, image);
  const reference = to ?? ownName(found);
  const { record } = found;
  const request: PushRequest = {
    ...{ record, reference, tags, compression },
    format: options.format,
    signal: signalOf(options),
  };
  return { deps: { ...local, ...(await drivers.remote(reference)) }, request };
}

/** The default destination of a push: the name given by the caller, or the image's only name. */
function ownName({ record, name }: FoundImage): Reference {
  const only = name ?? (record.names.length === 1 ? record.names[0] : undefined);
  if (only !== undefined) return parseReference(only);
  const names = record.names.length === 0 ? 'has no name' : `has ${record.names.length} names`;
  throw new UsageError(`the image ${names}: say where to push it`, {
    hint: 'write imgtool push IMAGE HOST/REPOSITORY:TAG',
  });
}

export async function inspect(
  drivers: Drivers,
  name: string,
  given: InspectOptions,
): Promise<InspectedAsImage | InspectedAsContainer> {
  checkText('inspect', 'the name', name);
  const options = checkOptions('inspect', given, INSPECT);
  if (options.type !== 'image') {
    const container = await containerNamed(drivers, name, { orImage: options.type === undefined });
    if (container !== undefined) return { type: 'container', container, config: await configOf(drivers, container) };
  }
  return { type: 'image', ...(await inspectNamed(drivers, name, options)) };
}

async function inspectNamed(drivers: Drivers, image: string, options: PlanPullOptions): Promise<Inspection> {
  const { inspectImage, inspectRemoteImage } = await import('../operations/images/index.js');
  if (!isRemote(image)) return inspectImage(await drivers.local(), image);
  const reference = parseReference(image);
  const how = { ...platformOf(options), signal: signalOf(options) };
  return inspectRemoteImage(await drivers.remote(reference), reference, how);
}

/** The container with that name. `orImage`: an image with that name takes precedence. */
async function containerNamed(
  drivers: Drivers,
  name: string,
  { orImage }: { readonly orImage: boolean },
): Promise<ContainerSummary | undefined> {
  if (orImage && isRemote(name)) return undefined;
  const { findContainer, findImage } = await import('../operations/store/index.js');
  const deps = await drivers.local();
  try {
    if (orImage) {
      await findImage(deps, name);
      return undefined;
    }
  } catch (error) {
    if (!(error instanceof ImgtoolError)) throw error;
  }
  const found = findContainer(deps, name);
  const container = orImage ? await ifFound(found) : await found;
  if (container === undefined) return undefined;
  const { listContainers } = await import('../operations/containers/index.js');
  return (await listContainers(deps)).find(({ id }) => id === container.id);
}

async function configOf(drivers: Drivers, { image, digest }: ContainerSummary): Promise<ExecutionConfig | null> {
  if (digest === null) return null;
  const { readImageConfig } = await import('../operations/store/index.js');
  return (await readImageConfig(await drivers.local(), { id: image })).config ?? {};
}

/** Reports whether an image name refers to a registry instead of the store. */
function isRemote(image: string): boolean {
  return /^docker(-v1)?:\/\//.test(image);
}

export async function imageTree(drivers: Drivers, image: string): Promise<ImageTree> {
  checkText('tree', 'the image', image);
  const operations = await import('../operations/images/index.js');
  return operations.imageTree(await drivers.local(), image);
}

export async function imageHistory(drivers: Drivers, image: string, given: PlanPullOptions): Promise<HistoryStep[]> {
  checkText('history', 'the image', image);
  const options = checkOptions('history', given, PLAN_PULL);
  const { historyOf } = await import('../operations/images/index.js');
  return historyOf((await inspectNamed(drivers, image, options)).image);
}

export async function tag(drivers: Drivers, image: string, ref: string, given: Stoppable): Promise<NamedImage> {
  checkText('tag', 'the image', image);
  checkText('tag', 'the new name', ref);
  const options = checkOptions('tag', given, STOPPABLE);
  const reference = parseReference(ref);
  const { tagImage } = await import('../operations/images/index.js');
  return tagImage(await drivers.local(), { image, reference, signal: signalOf(options) });
}

export async function untag(drivers: Drivers, ref: string, given: Stoppable): Promise<NamedImage> {
  checkText('untag', 'the name', ref);
  const options = checkOptions('untag', given, STOPPABLE);
  const { untagImage } = await import('../operations/images/index.js');
  return untagImage(await drivers.local(), { reference: ref, signal: signalOf(options) });
}

export async function removeImage(drivers: Drivers, image: string, given: RemoveImageOptions): Promise<RemovedImage> {
  checkText('rmi', 'the image', image);
  const options = checkOptions('rmi', given, REMOVE);
  const operations = await import('../operations/images/index.js');
  const request = { image, force: options.force ?? false, signal: signalOf(options) };
  return operations.removeImage(await drivers.local(), request);
}
