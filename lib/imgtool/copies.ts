import { InvalidReferenceError, PartialError, UsageError } from '../errors.js';
import type { CopyOrder, CopyPlan, CopyResult, CopyTransports } from '../operations/index.js';
import {
  formatReference,
  hostPlatform,
  isIndexType,
  isTag,
  parsePlatform,
  parseTransportName,
  type Reference,
} from '../spec/index.js';
import { checkOptions, checkText, checkTexts, type OptionKinds } from './check-options.js';
import { signalOf, STOPPABLE, type Stoppable } from './common.js';
import { compressionOf } from './conversion.js';
import type { Drivers } from './drivers.js';
import { sideAccess, SIDES, withNamedLogin, type SideOptions } from './sides.js';

interface OwnCopyOptions extends Stoppable {
  /** Copies the whole index with all platforms. */
  readonly all?: boolean | undefined;
  /** Copies the index without its images; the destination repositories must already have them. */
  readonly indexOnly?: boolean | undefined;
  /** One: copies that image of an index; several: reduces the index to them. Default: this machine's platform. */
  readonly platforms?: readonly string[] | undefined;
  /** Further tags to set. */
  readonly tags?: readonly string[] | undefined;
  /** Default: manifests are copied unchanged. */
  readonly format?: 'oci' | 'v2s2' | 'v2s1' | undefined;
  /** `gzip` or `zstd`, optionally with `:LEVEL`. Default: layers are copied unchanged. */
  readonly compression?: string | undefined;
  /** Fails instead of rewriting an index or converting anything. */
  readonly preserveDigests?: boolean | undefined;
  /** Also copies signatures, SBOMs and attestations. */
  readonly referrers?: boolean | undefined;
}

export type CopyOptions = OwnCopyOptions & SideOptions;

const COPY: OptionKinds<CopyOptions> = {
  ...{ ...STOPPABLE, ...SIDES, all: 'flag', indexOnly: 'flag', platforms: 'texts', tags: 'texts', compression: 'text' },
  ...{ format: ['oci', 'v2s2', 'v2s1'], preserveDigests: 'flag', referrers: 'flag' },
};

/** Throws PartialError when some destinations failed. */
export async function copy(
  drivers: Drivers,
  from: string,
  to: string | readonly string[],
  given: CopyOptions,
): Promise<CopyResult> {
  const { options, source, destinations, transports } = await prepareCopy('copy', drivers, { from, to, given });
  if (options.indexOnly === true) {
    const copied = await copyIndex(transports, { source, destinations, options });
    if (copied !== undefined) return copied;
  }
  const { copy: copyNow } = await import('../operations/copy/index.js');
  return complete(await copyNow(transports, orderOf(source, destinations, options)));
}

function orderOf(source: string, destinations: readonly string[], options: CopyOptions): CopyOrder {
  return {
    source,
    destinations,
    tags: (options.tags ?? []).flatMap(splitTag),
    selection: selectionOf(options),
    preserveDigests: options.preserveDigests ?? false,
    conversion: { format: options.format, compression: compressionOf(options) },
    referrers: options.referrers ?? false,
    signal: signalOf(options),
  };
}

/** Plans what `copy` would send to registries. Throws UsageError for destinations of other transports, and for conversions. */
export async function planCopy(
  drivers: Drivers,
  from: string,
  to: string | readonly string[],
  given: CopyOptions,
): Promise<CopyPlan> {
  const { options, source, destinations, transports } = await prepareCopy('planCopy', drivers, { from, to, given });
  const { format, compression, referrers, indexOnly } = options;
  const [named] = Object.entries({ format, compression, referrers, indexOnly }).filter(([, value]) => Boolean(value));
  if (named !== undefined) {
    throw new UsageError(`what a copy with ${named[0]} would send is known only when it is made`, {
      hint: 'leave it out',
    });
  }
  // Only registries can be queried without opening the destination for writing.
  referencesOf(destinations, 'the destination of a planned copy');
  const operations = await import('../operations/copy/index.js');
  return operations.planCopy(transports, orderOf(source, destinations, options));
}

async function prepareCopy(
  method: string,
  drivers: Drivers,
  { from, to, given }: { readonly from: string; readonly to: string | readonly string[]; readonly given: CopyOptions },
) {
  checkText(method, 'the source', from);
  const destinations = typeof to === 'string' ? [to] : to;
  checkTexts(method, 'the list of destinations', destinations);
  if (destinations.length === 0) throw new UsageError(`${method}: no destination is given`);
  const options = checkOptions(method, given, COPY);
  const source = await drivers.fullName(from);
  const hostsOf = (names: readonly string[]): string[] =>
    names.map(parseTransportName).flatMap((name) => ('reference' in name ? [name.reference.host] : []));
  const [sourceHosts, targetHosts] = [hostsOf([source]), hostsOf(destinations)];
  const reached = {
    ...{ sourceHosts, targetHosts },
    source: sideAccess(options, 'src', sourceHosts),
    target: sideAccess(options, 'dest', targetHosts),
  };
  const [sides] = withNamedLogin(drivers.settings, [reached]);
  return { options, source, destinations, transports: await drivers.transports(sides) };
}

/** Copies an index without its images; undefined when the source is not an index. Throws UsageError for other transports. */
async function copyIndex(
  { registry, sourceRegistry = registry }: CopyTransports,
  {
    source,
    destinations,
    options,
  }: { readonly source: string; readonly destinations: readonly string[]; readonly options: CopyOptions },
): Promise<CopyResult | undefined> {
  const started = performance.now();
  const signal = signalOf(options);
  const [from, ...to] = referencesOf([source, ...destinations], 'each end of a copy of an index alone');
  const { getManifest, publishManifest } = await import('../operations/registry/index.js');
  const { bytes, descriptor } = await getManifest({ registry: sourceRegistry }, from!, { signal });
  if (!isIndexType(descriptor.mediaType)) return undefined;
  const more = (options.tags ?? []).flatMap(splitTag);
  const targets: CopyResult['targets'][number][] = [];
  for (const reference of to) {
    const tags = [...new Set([...(reference.tag === undefined ? [] : [reference.tag]), ...more])];
    for (const tag of tags.length === 0 ? [undefined] : tags)
      await publishManifest({ registry }, { ...reference, ...(tag === undefined ? {} : { tag }) }, { bytes, signal });
    targets.push({ name: `docker://${formatReference(reference)}`, tags, layers: [] });
  }
  const { digest, mediaType } = descriptor;
  const sent = targets.reduce((sum, { tags }) => sum + Math.max(1, tags.length), 0);
  const seconds = (performance.now() - started) / 1000;
  return { digest, mediaType, layers: [], targets, bytes: sent * bytes.length, requests: sent + 1, seconds };
}

/** The references of transports that must all be registries. Throws UsageError. */
function referencesOf(names: readonly string[], what: string): Reference[] {
  return names.map((name) => {
    const parsed = parseTransportName(name);
    if (parsed.transport === 'docker') return parsed.reference;
    throw new UsageError(`${what} must be a registry, not ${name}`, { hint: 'write docker://REF' });
  });
}

/** Skopeo accepts a whole reference here and uses its tag. */
function splitTag(text: string): string[] {
  const tag = text.slice(text.lastIndexOf(':') + 1);
  if (isTag(tag)) return [tag];
  throw new InvalidReferenceError(`${JSON.stringify(text.slice(0, 200))} is not a tag`, { input: text });
}

/** The images of an index to copy. Throws UsageError. */
function selectionOf({ platforms: given = [], all = false }: OwnCopyOptions): CopyOrder['selection'] {
  const platforms = given.flatMap((text) => text.split(',')).map(parsePlatform);
  const [first = hostPlatform(), ...more] = platforms;
  if (platforms.length === 0 && all) return { kind: 'all' };
  return more.length > 0 || all ? { kind: 'platforms', platforms } : { kind: 'one', platform: first };
}

function complete(result: CopyResult): CopyResult {
  const failed = result.targets.filter(({ error }) => error !== undefined);
  if (failed.length === 0) return result;
  const failures = failed.map(({ name, error }) => `${name}: ${error}`);
  throw new PartialError(
    `${failed.length} of ${result.targets.length} destinations do not have the image: ${failures.join('; ')}`,
    { failures, hint: 'the others have it; run the command again to copy the rest' },
  );
}
