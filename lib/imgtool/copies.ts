import { InvalidReferenceError, PartialError, UsageError } from '../errors.js';
import type { CopyOrder, CopyResult } from '../operations/index.js';
import { hostPlatform, isTag, parsePlatform, parseTransportName } from '../spec/index.js';
import { checkOptions, checkText, checkTexts, type OptionKinds } from './check-options.js';
import { signalOf, STOPPABLE, type Stoppable } from './common.js';
import { compressionOf } from './conversion.js';
import type { Drivers } from './drivers.js';
import { sideAccess, SIDES, withNamedLogin, type SideOptions } from './sides.js';

interface OwnCopyOptions extends Stoppable {
  /** The whole index, all platforms. */
  readonly all?: boolean | undefined;
  /** The index alone, without its images: for registries whose repositories have those already. */
  readonly indexOnly?: boolean | undefined;
  /** One: that image of an index; several: an index rewritten to them. Default: that of this machine. */
  readonly platforms?: readonly string[] | undefined;
  /** Further tags to set. */
  readonly tags?: readonly string[] | undefined;
  /** Default: manifests as they are. */
  readonly format?: 'oci' | 'v2s2' | 'v2s1' | undefined;
  /** `gzip` or `zstd`, with `:LEVEL` if wanted. Default: layers as they are. */
  readonly compression?: string | undefined;
  /** Fails rather than rewriting an index or converting anything. */
  readonly preserveDigests?: boolean | undefined;
  /** Signatures, SBOMs and attestations too. */
  readonly referrers?: boolean | undefined;
}

export type CopyOptions = OwnCopyOptions & SideOptions;

const COPY: OptionKinds<CopyOptions> = {
  ...{ ...STOPPABLE, ...SIDES, all: 'flag', indexOnly: 'flag', platforms: 'texts', tags: 'texts', compression: 'text' },
  ...{ format: ['oci', 'v2s2', 'v2s1'], preserveDigests: 'flag', referrers: 'flag' },
};

/** Throws PartialError when some destinations do not have the image. */
export async function copy(
  drivers: Drivers,
  from: string,
  to: string | readonly string[],
  given: CopyOptions,
): Promise<CopyResult> {
  checkText('copy', 'the source', from);
  const destinations = typeof to === 'string' ? [to] : to;
  checkTexts('copy', 'the list of destinations', destinations);
  if (destinations.length === 0) throw new UsageError('copy: no destination is given');
  const options = checkOptions('copy', given, COPY);
  const source = await drivers.fullName(from);
  const order: CopyOrder = {
    source,
    destinations,
    tags: (options.tags ?? []).flatMap(splitTag),
    selection: selectionOf(options),
    preserveDigests: options.preserveDigests ?? false,
    conversion: { format: options.format, compression: compressionOf(options) },
    referrers: options.referrers ?? false,
    signal: signalOf(options),
  };
  const { copy: copyNow } = await import('../operations/copy/index.js');
  const hostsOf = (names: readonly string[]): string[] =>
    names.map(parseTransportName).flatMap((name) => ('reference' in name ? [name.reference.host] : []));
  const [sourceHosts, targetHosts] = [hostsOf([source]), hostsOf(destinations)];
  const reached = {
    ...{ sourceHosts, targetHosts },
    source: sideAccess(options, 'src', sourceHosts),
    target: sideAccess(options, 'dest', targetHosts),
  };
  const [sides] = withNamedLogin(drivers.settings, [reached]);
  return complete(await copyNow(await drivers.transports(sides), order));
}

/** skopeo takes a whole reference here; its tag is what counts. */
function splitTag(text: string): string[] {
  const tag = text.slice(text.lastIndexOf(':') + 1);
  if (isTag(tag)) return [tag];
  throw new InvalidReferenceError(`${JSON.stringify(text.slice(0, 200))} is not a tag`, { input: text });
}

/** What of an index is asked for. Throws UsageError. */
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
    { failures, hint: 'the others have it; running it again copies what is missing' },
  );
}
