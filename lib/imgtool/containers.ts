import type { Readable, Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { CommitResult, CopyEnd, ExportResult, ImportResult } from '../operations/index.js';
import type { ContainerRecord } from '../metadata/index.js';
import type { CopyTotals } from '../rootfs/index.js';
import { parseReference } from '../spec/index.js';
import { bytesOf, checkOptions, checkText, type OptionKinds } from './check-options.js';
import { RESERVING, signalOf, sourceDateEpoch, STOPPABLE, type BuildReserving, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { FETCHING, fetchTarget, type Fetching } from './fetch-target.js';
import { checkOutput, checkSource, openFile, writeTo } from './files.js';

export interface CreateOptions extends Stoppable, Fetching {
  /** Default: a generated name. */
  readonly name?: string | undefined;
}

export interface RemoveContainerOptions extends Stoppable {
  /** Kills a command that runs in the container; otherwise removal is refused. */
  readonly force?: boolean | undefined;
}

export interface CommitOptions extends Stoppable, BuildReserving {
  /** Comment for the history. */
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  /** Dockerfile instructions for the config, such as `CMD ["serve"]`. */
  readonly changes?: readonly string[] | undefined;
  /** Format of the manifest. Default: that of the image. */
  readonly format?: 'oci' | 'v2s2' | undefined;
  /** Writes one layer with all files instead of adding one. */
  readonly squash?: boolean | undefined;
  /** Creates an image even if nothing changed. */
  readonly emptyOk?: boolean | undefined;
}

export interface ImportOptions extends Stoppable, BuildReserving {
  /** Name of the source in messages and in the history. Default: its path. */
  readonly sourceName?: string | undefined;
  readonly message?: string | undefined;
  /** Dockerfile instructions for the config. */
  readonly changes?: readonly string[] | undefined;
}

export interface CpOptions extends Stoppable {
  /** Copies the target of a symbolic link instead of the link. */
  readonly followLink?: boolean | undefined;
}

const CREATE: OptionKinds<CreateOptions> = { ...STOPPABLE, ...FETCHING, name: 'text' };
const REMOVE: OptionKinds<RemoveContainerOptions> = { ...STOPPABLE, force: 'flag' };
const COMMIT: OptionKinds<CommitOptions> = {
  ...{ ...STOPPABLE, ...RESERVING },
  ...{ message: 'text', author: 'text', changes: 'texts', format: ['oci', 'v2s2'], squash: 'flag', emptyOk: 'flag' },
};
const IMPORT: OptionKinds<ImportOptions> = {
  ...{ ...STOPPABLE, ...RESERVING },
  ...{ sourceName: 'text', message: 'text', changes: 'texts' },
};
const CP: OptionKinds<CpOptions> = { ...STOPPABLE, followLink: 'flag' };

export type CreatedContainer = Pick<ContainerRecord, 'id' | 'name' | 'image' | 'imageName' | 'created'>;

export async function createContainer(
  drivers: Drivers,
  image: string,
  given: CreateOptions,
): Promise<CreatedContainer> {
  checkText('create', 'the image', image);
  const options = checkOptions('create', given, CREATE);
  await fetchTarget(drivers, image, options);
  const operations = await import('../operations/containers/index.js');
  const { id, name, ...record } = await operations.createContainer(await drivers.local(), {
    image,
    name: options.name,
    signal: signalOf(options),
  });
  return { id, name, image: record.image, imageName: record.imageName, created: record.created };
}

export async function removeContainer(
  drivers: Drivers,
  container: string,
  given: RemoveContainerOptions,
): Promise<{ readonly id: string; readonly name: string }> {
  checkText('rm', 'the container', container);
  const options = checkOptions('rm', given, REMOVE);
  const operations = await import('../operations/store/index.js');
  const request = { container, force: options.force ?? false, signal: signalOf(options) };
  const { id, name } = await operations.removeContainer(await drivers.local(), request);
  return { id, name };
}

export async function mount(drivers: Drivers, container: string): Promise<string> {
  checkText('mount', 'the container', container);
  const { containerPath } = await import('../operations/containers/index.js');
  return containerPath(await drivers.local(), container);
}

export async function commit(
  drivers: Drivers,
  container: string,
  ref: string | undefined,
  given: CommitOptions,
): Promise<CommitResult> {
  checkText('commit', 'the container', container);
  if (ref !== undefined) checkText('commit', 'the name', ref);
  const options = checkOptions('commit', given, COMMIT);
  const [{ commitContainer }, deps] = await Promise.all([import('../operations/mutate/index.js'), drivers.local()]);
  return commitContainer(deps, {
    container,
    reference: ref === undefined ? undefined : parseReference(ref),
    message: options.message,
    author: options.author,
    changes: options.changes ?? [],
    format: options.format,
    squash: options.squash ?? false,
    emptyOk: options.emptyOk ?? false,
    sourceDateEpoch: sourceDateEpoch(drivers.settings.env),
    reserveBytes: bytesOf(options.reserve, undefined),
    signal: signalOf(options),
  });
}

export async function exportContainer(
  drivers: Drivers,
  container: string,
  output: string | Writable,
  given: Stoppable,
): Promise<ExportResult> {
  checkText('export', 'the container', container);
  checkOutput('export', output);
  const signal = signalOf(checkOptions('export', given, STOPPABLE));
  const operations = await import('../operations/containers/index.js');
  const deps = await drivers.local();
  return writeTo(output, (stream) => operations.exportContainer(deps, { container, output: stream, signal }));
}

export async function importImage(
  drivers: Drivers,
  from: string | Readable,
  ref: string | undefined,
  given: ImportOptions,
): Promise<ImportResult> {
  checkSource('import', from);
  if (ref !== undefined) checkText('import', 'the name', ref);
  const options = checkOptions('import', given, IMPORT);
  const reference = ref === undefined ? undefined : parseReference(ref);
  const source = typeof from === 'string' ? await openFile(from) : from;
  try {
    const operations = await import('../operations/mutate/index.js');
    return await operations.importImage(await drivers.unpacking(), {
      source,
      sourceName: options.sourceName ?? (typeof from === 'string' ? from : 'a stream'),
      reference,
      message: options.message,
      changes: options.changes ?? [],
      sourceDateEpoch: sourceDateEpoch(drivers.settings.env),
      reserveBytes: bytesOf(options.reserve, undefined),
      signal: signalOf(options),
    });
  } finally {
    source.destroy();
  }
}

/** Copies files between paths and containers; a stream is a tar. Resolves with undefined when writing a tar. */
export async function copyFiles(
  drivers: Drivers,
  source: string | Readable,
  destination: string | Writable,
  given: CpOptions,
): Promise<CopyTotals | undefined> {
  checkSource('cp', source);
  checkOutput('cp', destination);
  const options = checkOptions('cp', given, CP);
  const signal = signalOf(options);
  const followLink = options.followLink ?? false;
  const operations = await import('../operations/containers/index.js');
  if (typeof destination !== 'string') {
    if (typeof source !== 'string') throw new UsageError('cp: one of both is a path in a container');
    const from = inContainer(source);
    await operations.copyFilesToTar(await drivers.local(), { from, output: destination, followLink, signal });
    return undefined;
  }
  if (typeof source !== 'string') {
    const to = inContainer(destination);
    return operations.copyFilesFromTar(await drivers.local(), { source, to, signal });
  }
  const [from, to] = [endOf(source), endOf(destination)];
  if (from.container === undefined && to.container === undefined) {
    throw new UsageError('neither path is in a container', { hint: 'write CONTAINER:PATH for the one that is' });
  }
  return operations.copyFiles(await drivers.local(), { from, to, followLink, signal });
}

/** As in docker, text that begins with `/` or `.` is always a path on this machine. */
function endOf(text: string): CopyEnd {
  const colon = text.indexOf(':');
  if (colon < 1 || /^[./]/.test(text)) return { container: undefined, path: text };
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
}

function inContainer(text: string): CopyEnd & { readonly container: string } {
  const { container, path } = endOf(text);
  if (container !== undefined) return { container, path };
  throw new UsageError(`${text} is not a path in a container`, { hint: 'write CONTAINER:PATH' });
}
