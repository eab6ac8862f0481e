import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { NotFoundError, PartialError, UsageError } from '../errors.js';
import { fileError, makeDirectory } from '../util/index.js';
import { checkOptions, checkText, type OptionKinds } from './check-options.js';
import { STOPPABLE, type Stoppable } from './common.js';
import { copy, type CopyOptions } from './copies.js';
import type { Drivers } from './drivers.js';
import { listTags } from './registries.js';
import { SIDES, type SideOptions } from './sides.js';

interface OwnSyncDirectoriesOptions extends Stoppable {
  /** Keeps host and path of the source in names instead of only the last part. */
  readonly scoped?: boolean | undefined;
  /** Continue with the other images after a failure. */
  readonly keepGoing?: boolean | undefined;
  /** Changes nothing; the result lists what would be copied. */
  readonly dryRun?: boolean | undefined;
}

export type SyncDirectoriesOptions = OwnSyncDirectoriesOptions & SideOptions;

/** An image of a sync to or from directories. */
export interface SyncedImage {
  readonly source: string;
  readonly target: string;
  /** Undefined in a dry run and after a failure. */
  readonly digest?: string;
  readonly error?: string;
}

const SYNC: OptionKinds<SyncDirectoriesOptions> = {
  ...{ ...STOPPABLE, ...SIDES, scoped: 'flag', keepGoing: 'flag', dryRun: 'flag' },
};

/**
 * Copies a repository's tags, or one tag, into skopeo `dir:` directories named `NAME:TAG` below `directory`. Throws
 * PartialError with `keepGoing` if some failed.
 */
export async function syncToDirectories(
  drivers: Drivers,
  source: string,
  directory: string,
  given: SyncDirectoriesOptions,
): Promise<SyncedImage[]> {
  checkText('syncToDirectories', 'the source', source);
  checkText('syncToDirectories', 'the directory', directory);
  const options = checkOptions('syncToDirectories', given, SYNC);
  const { parseSyncSource } = await import('../operations/sync-rules/index.js');
  const { host, repository, tag } = parseSyncSource(source);
  if (repository === undefined)
    throw new UsageError('a whole registry does not go into directories', { hint: 'name a repository' });
  const place = `${host}/${repository}`;
  const name = options.scoped === true ? place : basename(repository);
  const tags = tag === undefined ? await listTags(drivers, place, { signal: options.signal }) : [tag];
  const pairs = tags.map((one) => ({
    source: `docker://${place}:${one}`,
    target: `dir:${join(directory, `${name}:${one}`)}`,
  }));
  if (options.dryRun !== true) makeDirectory(resolve(directory, dirname(name)), 0o777);
  return copyAll(drivers, pairs, options);
}

/** Copies the images of the `dir:` directories at or below `directory` to a registry, under the directories' names. */
export async function syncFromDirectories(
  drivers: Drivers,
  directory: string,
  target: string,
  given: SyncDirectoriesOptions,
): Promise<SyncedImage[]> {
  checkText('syncFromDirectories', 'the directory', directory);
  checkText('syncFromDirectories', 'the target', target);
  const options = checkOptions('syncFromDirectories', given, SYNC);
  const root = resolve(directory);
  const paths = await imagesBelow(root);
  if (paths.length === 0) {
    throw new NotFoundError(`${directory} has no image of dir: in it`, {
      kind: 'image',
      subject: directory,
      hint: 'give the directory that imgtool sync --dest dir wrote to',
    });
  }
  const place = target.replace(/^docker:\/\//, '').replace(/\/+$/, '');
  const nameOf = (path: string): string =>
    options.scoped === true ? path.slice(1) : path === root ? basename(path) : relative(root, path);
  const pairs = paths.map((path) => ({ source: `dir:${path}`, target: `docker://${place}/${nameOf(path)}` }));
  return copyAll(drivers, pairs, options);
}

async function copyAll(
  drivers: Drivers,
  pairs: readonly Pick<SyncedImage, 'source' | 'target'>[],
  { scoped: _scoped, keepGoing = false, dryRun = false, ...sides }: SyncDirectoriesOptions,
): Promise<SyncedImage[]> {
  if (dryRun) return [...pairs];
  const how: CopyOptions = { ...sides, all: true };
  const done: SyncedImage[] = [];
  for (const { source, target } of pairs) {
    try {
      const { digest } = await copy(drivers, source, target, how);
      done.push({ source, target, digest });
    } catch (error) {
      if (!keepGoing || sides.signal?.aborted === true) throw error;
      done.push({ source, target, error: (error as Error).message });
    }
  }
  const failures = done.flatMap(({ source, error }) => (error === undefined ? [] : [`${source}: ${error}`]));
  if (failures.length === 0) return done;
  throw new PartialError(`${failures.length} of ${done.length} images failed: ${failures.slice(0, 5).join('; ')}`, {
    failures,
    hint: 'run the command again to copy the rest',
  });
}

/** Directories with an image, sorted; links are not followed. Throws UsageError. */
async function imagesBelow(directory: string): Promise<string[]> {
  if (existsSync(join(directory, 'version')) && existsSync(join(directory, 'manifest.json'))) return [directory];
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const found: string[] = [];
    for (const entry of entries)
      if (entry.isDirectory()) found.push(...(await imagesBelow(join(directory, entry.name))));
    return found.sort();
  } catch (error) {
    throw fileError(directory, 'read', error);
  }
}
