import { InvalidReferenceError, PartialError, UsageError } from '../../errors.js';
import type { RegistryClient, V1Repository } from '../../registry/index.js';
import type { ProgressSink } from '../../progress/index.js';
import {
  type Digest,
  formatReference,
  type ImageDestination,
  type ImageSource,
  parseTransportName,
  type Reference,
  type TransportName,
} from '../../spec/index.js';
import { type Close, thenCloseAll } from '../../util/index.js';
import { type Conversion, type ConvertDeps, type Selection, Spool } from '../convert/index.js';
import { BlobPlaces } from '../download/index.js';
import { openRegistrySource, measureTraffic } from '../registry/index.js';
import type { BlobPlace } from './composed-image.js';
import { copyImage, type CopyRequest, planImageCopy } from './copy-image.js';
import { type CopiedBlob, type CopyDeps, CopyLimits, type CopyTarget } from './copy-tree.js';
import { openRegistryDestination } from './registry-destination.js';
import { V1Destination } from './v1-destination.js';
import { V1Source } from './v1-source.js';

/** The transports other than registries. */
export type OtherTransport = Exclude<TransportName, { readonly transport: 'docker' | 'docker-v1' }>;

export interface CopyTransports extends Pick<ConvertDeps, 'recompressLayer' | 'temporaryDirectory'> {
  readonly registry: RegistryClient;
  /** The registry client for sources. Default: `registry`, with the same logins. */
  readonly sourceRegistry?: RegistryClient;
  readonly progress: ProgressSink;
  /** The number of concurrent blobs. */
  readonly parallel: number;
  /**
   * Opens a source that is not a registry. `all`: for the store, the index that the image was chosen from, if complete.
   * Throws NotFoundError, UsageError.
   */
  readonly openSource: (
    name: OtherTransport,
    options: { readonly signal: AbortSignal; readonly all?: boolean },
  ) => Promise<ImageSource>;
  /** Opens a destination that is not a registry. Throws AlreadyExistsError, UsageError. */
  readonly openDestination: (
    name: OtherTransport,
    options: { readonly signal: AbortSignal },
  ) => Promise<ImageDestination>;
}

/** What to copy, as written by the user. */
export interface CopyOrder {
  readonly source: string;
  readonly destinations: readonly string[];
  /** Additional tags to set at each destination. */
  readonly tags: readonly string[];
  readonly selection: Selection;
  readonly preserveDigests: boolean;
  readonly conversion?: Conversion | undefined;
  readonly referrers: boolean;
  readonly signal: AbortSignal;
}

/** The result for one destination. */
export interface CopyOutcome {
  readonly name: string;
  readonly tags: readonly string[];
  readonly layers: readonly CopiedBlob[];
  readonly error?: string;
}

/** The result of a copy. `layers`: the blobs of the first destination, including the config. `bytes`: bytes sent. */
export interface CopyResult {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly layers: readonly CopiedBlob[];
  readonly targets: readonly CopyOutcome[];
  readonly bytes: number;
  readonly requests: number;
  readonly seconds: number;
}

/** The plan of a copy, with estimated bytes to send and requests to all registries. */
export interface CopyPlan {
  /** Digest of the manifest or index to copy. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: number;
  readonly requests: number;
  readonly targets: readonly { readonly name: string; readonly state: 'present' | 'to-copy' }[];
}

/**
 * Copies an image between any two transports, to several destinations with one read. Throws as `copyImage`, and the
 * errors of the transports.
 */
export async function copy(deps: CopyTransports, order: CopyOrder): Promise<CopyResult> {
  const traffic = measureTraffic([deps.registry, deps.sourceRegistry ?? deps.registry]);
  return onTrip(deps, order, async (trip) => {
    const copied = await copyImage(trip.deps, trip.request);
    const { bytesSent, requests, seconds } = traffic();
    return {
      digest: copied.digest,
      mediaType: copied.mediaType,
      layers: copied.targets[0]?.blobs ?? [],
      targets: copied.targets.map(({ tags, blobs, error }, i) => ({
        name: trip.names[i]!,
        tags,
        layers: blobs,
        ...(error === undefined ? {} : { error: error.message }),
      })),
      ...{ bytes: bytesSent, requests, seconds },
    };
  });
}

/** Estimates a copy without changing anything. Throws as `copy`. */
export async function planCopy(deps: CopyTransports, order: CopyOrder): Promise<CopyPlan> {
  return onTrip(deps, order, async (trip) => {
    const plan = await planImageCopy(trip.deps, { ...trip.request, known: trip.known });
    const { digest, mediaType } = plan.top.descriptor;
    const targets = trip.names.map((name, i) => ({
      name,
      state: plan.there[i] ? ('present' as const) : ('to-copy' as const),
    }));
    return { digest, mediaType, bytes: plan.bytes, requests: plan.requests, targets };
  });
}

/**
 * Copies a new image or index unchanged to `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or
 * `docker-archive:FILE[:REF]`. `known`: repositories that have some of its blobs. Throws the errors of the
 * destinations, PartialError when only some of several failed, AbortError.
 */
export async function deliverImage(
  deps: CopyTransports,
  image: ImageSource,
  {
    destinations,
    known = [],
    signal,
  }: { readonly destinations: readonly string[]; readonly known?: readonly BlobPlace[]; readonly signal: AbortSignal },
): Promise<void> {
  const places = new BlobPlaces();
  for (const { place, digest } of known) places.add(place, { digest });
  const closes: Close[] = [];
  return thenCloseAll(async () => {
    const targets: CopyTarget[] = [];
    for (const name of destinations.map(parseTransportName)) {
      const destination = await openDestination(deps, name, { source: image, known: places, signal });
      closes.push(() => destination.close());
      targets.push({ destination, tags: tagsOf(name, name, []) });
    }
    const copied = await copyImage(copyDepsOf(deps), {
      ...{ source: image, selector: {}, targets, preserveDigests: true, referrers: false, signal },
      selection: { kind: 'all' },
    });
    const failures = copied.targets.flatMap(({ name, error }) =>
      error === undefined ? [] : `${name}: ${error.message}`,
    );
    if (failures.length === 0) return;
    throw new PartialError(
      `${failures.length} of ${targets.length} destinations do not have the image: ${failures.join('; ')}`,
      { failures, hint: 'the others have it; run the command again to copy the rest' },
    );
  }, closes);
}

/** A copy with opened source and destinations. */
interface Trip {
  readonly deps: CopyDeps;
  readonly request: CopyRequest;
  readonly known: BlobPlaces;
  /** The names of the destinations. */
  readonly names: readonly string[];
}

/** Opens the ends of an order for `work` and closes all of them afterwards. */
function onTrip<T>(deps: CopyTransports, order: CopyOrder, work: (trip: Trip) => Promise<T>): Promise<T> {
  const { signal } = order;
  const [from, ...to] = [order.source, ...order.destinations].map(parseTransportName) as [
    TransportName,
    ...TransportName[],
  ];
  const known = new BlobPlaces();
  const closes: Close[] = [];
  return thenCloseAll(async () => {
    const source = await openSource(deps, from, { all: order.selection.kind !== 'one', signal });
    closes.push(() => source.close());
    const targets: CopyTarget[] = [];
    for (const name of to) {
      const destination = await openDestination(deps, name, { source, known, signal });
      closes.push(() => destination.close());
      targets.push({ destination, tags: tagsOf(name, from, order.tags) });
    }
    return work({
      deps: copyDepsOf(deps),
      request: {
        ...{ ...order, source, selector: selectorOf(from), targets, rename: !order.preserveDigests },
        isLayout: to.every(({ transport }) => transport === 'oci' || transport === 'oci-archive'),
        check: (digest) => checkDigests(to, digest),
      },
      known,
      names: to.map(nameOf),
    });
  }, closes);
}

/** The dependencies of one copy. */
function copyDepsOf(deps: CopyTransports): CopyDeps {
  return {
    progress: deps.progress,
    limits: new CopyLimits(deps.parallel),
    convert: { ...deps, createSpool: () => new Spool(deps.temporaryDirectory) },
    foreignBlob: (blob) => (deps.sourceRegistry ?? deps.registry).foreignBlob(blob),
  };
}

async function openSource(
  deps: CopyTransports,
  name: TransportName,
  { all, signal }: { readonly all: boolean; readonly signal: AbortSignal },
): Promise<ImageSource> {
  const registry = deps.sourceRegistry ?? deps.registry;
  if (name.transport === 'docker-v1') return new V1Source(deps, await openV1(registry, name.reference, signal));
  if (name.transport !== 'docker') return deps.openSource(name, { all, signal });
  return openRegistrySource(registry, name.reference, { signal });
}

async function openV1(registry: RegistryClient, reference: Reference, signal: AbortSignal): Promise<V1Repository> {
  return (await registry.openV1({ ...reference, registryVersion: 1 }, { signal }))!;
}

async function openDestination(
  deps: CopyTransports,
  name: TransportName,
  { source, known, signal }: { readonly source: ImageSource; readonly known: BlobPlaces; readonly signal: AbortSignal },
): Promise<ImageDestination> {
  if (name.transport === 'docker-v1') {
    return new V1Destination(await openV1(deps.registry, name.reference, signal), deps.progress);
  }
  if (name.transport !== 'docker') return deps.openDestination(name, { signal });
  // A mount reads with the destination's login, which may have no access to a source with its own login.
  const oneLogin = (deps.sourceRegistry ?? deps.registry) === deps.registry;
  const mountFrom = oneLogin ? source : undefined;
  return openRegistryDestination(deps.registry, name.reference, { signal, known, mountFrom });
}

function selectorOf(name: TransportName): { tag?: string | undefined; digest?: Digest | undefined } {
  if ('reference' in name) return { tag: name.reference.tag, digest: name.reference.digest };
  return { tag: name.transport === 'store' ? name.name : name.tag };
}

/** The tags to set at a destination, its own first. A layout without a tag gets the tag of the source. */
export function tagsOf(name: TransportName, from: TransportName, more: readonly string[]): string[] {
  const own = selectorOf(name).tag;
  const inherits = own === undefined && !('reference' in name) && name.transport !== 'dir';
  const first = inherits && from.transport === 'docker' ? from.reference.tag : own;
  if (name.transport === 'store' && more.length > 0) {
    throw new UsageError('--additional-tag is not for store:', { hint: 'give names with: imgtool tag' });
  }
  return [...new Set([...(first === undefined ? [] : [first]), ...more])];
}

/** Checks the digests that destinations require. */
function checkDigests(names: readonly TransportName[], digest: Digest): void {
  for (const name of names) {
    if (name.transport !== 'docker' || name.reference.digest === undefined || name.reference.digest === digest)
      continue;
    throw new InvalidReferenceError(`the source has digest ${digest}, not ${name.reference.digest}`, {
      input: formatReference(name.reference),
      hint: 'omit the digest of the destination; it follows from the source',
    });
  }
}

function nameOf(name: TransportName): string {
  if ('reference' in name) return `${name.transport}://${formatReference(name.reference)}`;
  if (name.transport === 'store') return `store:${name.name}`;
  return `${name.transport}:${name.path}${name.tag === undefined ? '' : `:${name.tag}`}`;
}
