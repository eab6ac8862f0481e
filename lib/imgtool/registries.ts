import type { Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { DeletedManifest, MadeIndex } from '../operations/index.js';
import type { V1SearchResult } from '../registry/index.js';
import { parsePlatform, parseReference, parseRepository, type Descriptor, type RawManifest } from '../spec/index.js';
import { checkOptions, checkText, checkTexts, type OptionKinds } from './check-options.js';
import { FOR_PLATFORM, signalOf, STOPPABLE, type ForPlatform, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { checkOutput, writeTo } from './files.js';
import { SEVERAL_LOGINS } from './named-login.js';

export interface SearchOptions extends Stoppable {
  /** Maximum number of results, up to 1000. Default: 25. */
  readonly limit?: number | undefined;
}

export interface TagsOptions extends Stoppable {
  /** `version`: newest first, then tags that are not versions. Default: `registry`, the registry's order. */
  readonly sort?: 'registry' | 'version' | 'name' | undefined;
  /** Maximum number of tags. Default: all. */
  readonly limit?: number | undefined;
}

export interface DeleteRemoteOptions extends Stoppable {
  /** Deletes only the tag; other tags of the manifest stay. */
  readonly tagOnly?: boolean | undefined;
  /** Changes nothing. */
  readonly dryRun?: boolean | undefined;
}

export interface IndexOptions extends Stoppable, ForPlatform {
  /** Annotations of the index. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Default: the format of its images. */
  readonly format?: 'oci' | 'v2s2' | undefined;
}

const SEARCH: OptionKinds<SearchOptions> = { ...STOPPABLE, limit: 'count' };
const TAGS: OptionKinds<TagsOptions> = { ...STOPPABLE, sort: ['registry', 'version', 'name'], limit: 'count' };
const DELETE: OptionKinds<DeleteRemoteOptions> = { ...STOPPABLE, tagOnly: 'flag', dryRun: 'flag' };
const INDEX: OptionKinds<IndexOptions> = {
  ...{ ...STOPPABLE, ...FOR_PLATFORM },
  ...{ annotations: 'object', format: ['oci', 'v2s2'] },
};

export async function listTags(drivers: Drivers, name: string, given: TagsOptions): Promise<string[]> {
  checkText('tags', 'the repository', name);
  const options = checkOptions('tags', given, TAGS);
  const signal = signalOf(options);
  const repository = parseRepository(await drivers.fullName(name));
  const { listTags: list } = await import('../operations/registry/index.js');
  const tags = await list(await drivers.remote(repository), repository, { signal });
  const { sort = 'registry', limit } = options;
  return (await sorted(tags, sort)).slice(0, limit);
}

async function sorted(tags: readonly string[], by: TagsOptions['sort']): Promise<readonly string[]> {
  if (by === 'version') return (await import('../operations/sync-rules/index.js')).sortByVersion(tags);
  return by === 'name' ? tags.toSorted() : tags;
}

export async function search(
  drivers: Drivers,
  registry: string,
  term: string,
  given: SearchOptions,
): Promise<V1SearchResult[]> {
  checkText('search', 'the registry', registry);
  checkText('search', 'the term', term);
  const options = checkOptions('search', given, SEARCH);
  const { host } = parseReference(`${registry}/search`);
  const { searchRegistry } = await import('../operations/registry/index.js');
  const limit = Math.min(options.limit ?? 25, 1000);
  return searchRegistry(await drivers.remote({ host }), { host, term, limit }, { signal: signalOf(options) });
}

export async function catalog(drivers: Drivers, registry: string, given: Stoppable): Promise<string[]> {
  checkText('catalog', 'the registry', registry);
  const signal = signalOf(checkOptions('catalog', given, STOPPABLE));
  const [{ listRepositories }, { parseSyncSource }] = await Promise.all([
    import('../operations/registry/index.js'),
    import('../operations/sync-rules/index.js'),
  ]);
  const name = registry.replace(/\/$/, '');
  if (name.replace(/^[a-z0-9-]+:\/\//, '').includes('/')) {
    throw new UsageError(`${name} names a repository, and a catalog is that of a registry`, {
      hint: `list its tags with "imgtool tags ${name}", or leave out what follows the host`,
    });
  }
  const { host } = parseSyncSource(`${name}/`);
  return listRepositories(await drivers.remote({ host }), host, { signal });
}

/** Opens a reference at a registry; shared by the methods below. */
async function remoteOf(method: string, drivers: Drivers, ref: string, given: Stoppable) {
  checkText(method, 'the reference', ref);
  const signal = signalOf(checkOptions(method, given, STOPPABLE));
  const reference = parseReference(await drivers.fullName(ref));
  const operations = await import('../operations/registry/index.js');
  return { operations, remote: await drivers.remote(reference), reference, signal };
}

export async function resolveDigest(
  drivers: Drivers,
  ref: string,
  given: Stoppable,
): Promise<Pick<Descriptor, 'digest' | 'mediaType' | 'size'>> {
  const { operations, remote, reference, signal } = await remoteOf('digest', drivers, ref, given);
  const { digest, mediaType, size } = await operations.resolveDigest(remote, reference, { signal });
  return { digest, mediaType, size };
}

export async function getManifest(drivers: Drivers, ref: string, given: Stoppable): Promise<RawManifest> {
  const { operations, remote, reference, signal } = await remoteOf('manifestGet', drivers, ref, given);
  return operations.getManifest(remote, reference, { signal });
}

export async function listReferrers(drivers: Drivers, ref: string, given: Stoppable): Promise<readonly Descriptor[]> {
  const { operations, remote, reference, signal } = await remoteOf('referrers', drivers, ref, given);
  return operations.listImageReferrers(remote, reference, { signal });
}

/** Size in bytes. */
export async function blobSize(drivers: Drivers, ref: string, given: Stoppable): Promise<number> {
  const { operations, remote, reference, signal } = await remoteOf('blobHead', drivers, ref, given);
  return operations.findBlob(remote, reference, { signal });
}

export async function getBlob(
  drivers: Drivers,
  ref: string,
  output: string | Writable,
  given: Stoppable,
): Promise<void> {
  checkOutput('blobGet', output);
  const { operations, remote, reference, signal } = await remoteOf('blobGet', drivers, ref, given);
  await writeTo(output, (stream) => operations.readRemoteBlob(remote, reference, { output: stream, signal }));
}

export async function putManifest(
  drivers: Drivers,
  ref: string,
  bytes: Uint8Array,
  given: Stoppable,
): Promise<Descriptor> {
  checkText('manifestPut', 'the reference', ref);
  if (!(bytes instanceof Uint8Array)) throw new UsageError('manifestPut: the manifest is not a Uint8Array');
  const signal = signalOf(checkOptions('manifestPut', given, STOPPABLE));
  const reference = parseReference(ref);
  const { publishManifest } = await import('../operations/registry/index.js');
  const manifest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return publishManifest(await drivers.remote(reference), reference, { bytes: manifest, signal });
}

export async function deleteRemote(
  drivers: Drivers,
  ref: string,
  given: DeleteRemoteOptions,
): Promise<DeletedManifest> {
  checkText('delete', 'the reference', ref);
  const options = checkOptions('delete', given, DELETE);
  const { tagOnly = false, dryRun = false } = options;
  const reference = parseReference(ref);
  if (tagOnly && (reference.tag === undefined || reference.digest !== undefined))
    throw new UsageError('--tag-only needs a reference with a tag and without a digest');
  const { deleteRemoteManifest } = await import('../operations/registry/index.js');
  const how = { tagOnly, dryRun, signal: signalOf(options) };
  return deleteRemoteManifest(await drivers.remote(reference), reference, how);
}

export async function makeIndex(
  method: string,
  drivers: Drivers,
  name: string,
  images: readonly string[],
  given: IndexOptions & { readonly keepExisting: boolean },
): Promise<MadeIndex> {
  checkText(method, 'the reference', name);
  checkTexts(method, 'the list of images', images);
  const { keepExisting, ...rest } = given;
  const options = checkOptions<IndexOptions>(method, rest, INDEX);
  const target = parseReference(name);
  const sources = [];
  for (const image of images) sources.push(parseReference(await drivers.fullName(image)));
  const { platform } = options;
  if (platform !== undefined && sources.length !== 1)
    throw new UsageError('--platform is that of one IMAGE', { hint: 'add the others with: imgtool manifest add' });
  const login = drivers.namedLogin(
    [target, ...sources].map(({ host }) => host),
    SEVERAL_LOGINS,
  );
  const operations = await import('../operations/copy/index.js');
  const { progress, settings } = drivers;
  return operations.makeIndex(
    { ...(await drivers.remote(login)), progress, parallel: settings.parallel },
    {
      ...{ target, sources, keepExisting, signal: signalOf(options), annotations: options.annotations ?? {} },
      platform: platform === undefined ? undefined : parsePlatform(platform),
      format: options.format,
    },
  );
}
