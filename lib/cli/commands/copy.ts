import { InvalidReferenceError, PartialError } from '../../errors.js';
import type { CopyOrder, CopyResult } from '../../operations/index.js';
import { hostPlatform, isTag, parsePlatform } from '../../spec/index.js';
import type { CommandResult, CommandSpec } from '../command.js';
import type { Options } from '../options.js';
import { compressionFor } from '../compression-option.js';
import { SIDE_OPTIONS, sideAccess, withNamedLogin } from '../side-options.js';

export const copy: CommandSpec = {
  path: ['copy'],
  resumes: true,
  group: 'Registries',
  summary: 'copy an image between registries, stores and archives',
  description:
    'Prints the manifest digest. Ends are docker://REF (or REF alone), docker-v1://REF, store:NAME, oci:DIR[:TAG], ' +
    'oci-archive:FILE[:TAG] and docker-archive:FILE[:REF]. Manifests are copied byte for byte, so digests stay (one of schema 1 ' +
    'gets the name that it is copied to, and another digest, unless --preserve-digests is given). What a ' +
    'destination has is not sent again, what its registry has elsewhere is mounted, and several destinations are served ' +
    'by one read. Between registries nothing touches the disk, and no store is needed.\n' +
    'Of an index, the image for this machine is copied, or that of --platform; with --all the whole index, and with ' +
    'several platforms an index rewritten to them.\n' +
    '--format and --compression convert: digests change, which is said; layers wait in TMPDIR (or /var/tmp) meanwhile, and so do those of docker-v1://.',
  arguments: [
    { name: 'SRC', summary: 'what to copy', completes: 'image' },
    { name: 'DST', summary: 'where to; several are served by one read', variadic: true },
  ],
  options: [
    { name: 'all', short: 'a', default: false, summary: 'the whole index, all platforms' },
    {
      name: 'platform',
      value: 'OS/ARCH[/VARIANT]',
      repeat: true,
      summary: 'platform to choose from an index; several keep an index, rewritten to them',
      shared: true,
    },
    { name: 'additional-tag', value: 'TAG', repeat: true, summary: 'one more tag to set' },
    {
      name: 'format',
      value: 'FORMAT',
      choices: ['oci', 'v2s2', 'v2s1'],
      summary: 'write manifests as OCI, as Docker schema 2 or (one image) 1; as they are when not given',
    },
    {
      name: 'compression',
      value: 'KIND[:LEVEL]',
      summary: 'gzip or zstd; layers compressed so already stay, unless a level is given',
    },
    { name: 'preserve-digests', default: false, summary: 'fail rather than rewrite an index or convert anything' },
    { name: 'referrers', default: false, summary: 'signatures, SBOMs and attestations too' },
    ...SIDE_OPTIONS,
  ],
  examples: [
    { command: 'imgtool copy alpine:3.20 localhost:5000/alpine:3.20 --all', does: 'mirror all platforms' },
    {
      command: 'imgtool copy old:5000/app:1 east:5000/app:1 west:5000/app:1 --referrers',
      does: 'two places, one read, signatures too',
    },
  ],
  async run({ args, options, signal, compose }) {
    const [from, ...destinations] = args as [string, ...string[]];
    const source = await compose.fullName(from);
    const tags = options.list('additional-tag').flatMap(splitTag);
    const order: CopyOrder = {
      source,
      destinations,
      tags,
      selection: selectionOf(options),
      preserveDigests: options.flag('preserve-digests'),
      conversion: {
        format: options.text('format') as NonNullable<CopyOrder['conversion']>['format'],
        compression: compressionFor(options),
      },
      referrers: options.flag('referrers'),
      signal,
    };
    const { copy: copyNow, parseTransportName } = await import('../../operations/index.js');
    const hostsOf = (names: readonly string[]): string[] =>
      names.map(parseTransportName).flatMap((name) => ('reference' in name ? [name.reference.host] : []));
    const [sourceHosts, targetHosts] = [hostsOf([source]), hostsOf(destinations)];
    const given = {
      ...{ sourceHosts, targetHosts },
      source: sideAccess(options, 'src', sourceHosts),
      target: sideAccess(options, 'dest', targetHosts),
    };
    const [sides] = withNamedLogin(options, [given]);
    return copied(await copyNow(await compose.transports(sides), order));
  },
};

/** skopeo takes a whole reference here; its tag is what counts. */
function splitTag(text: string): string[] {
  const tag = text.slice(text.lastIndexOf(':') + 1);
  if (isTag(tag)) return [tag];
  throw new InvalidReferenceError(`${JSON.stringify(text.slice(0, 200))} is not a tag`, { input: text });
}

/** What of an index is asked for. Throws UsageError. */
export function selectionOf(options: Options): CopyOrder['selection'] {
  const platforms = options
    .list('platform')
    .flatMap((text) => text.split(','))
    .map(parsePlatform);
  const [first = hostPlatform(), ...more] = platforms;
  const all = options.flag('all');
  if (platforms.length === 0 && all) return { kind: 'all' };
  return more.length > 0 || all ? { kind: 'platforms', platforms } : { kind: 'one', platform: first };
}

function copied(result: CopyResult): CommandResult {
  const failed = result.targets.filter(({ error }) => error !== undefined);
  if (failed.length === 0) return { json: result, text: [result.digest] };
  const failures = failed.map(({ name, error }) => `${name}: ${error}`);
  throw new PartialError(
    `${failed.length} of ${result.targets.length} destinations do not have the image: ${failures.join('; ')}`,
    { failures, hint: 'the others have it; running it again copies what is missing' },
  );
}
