import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { ChangedImage, ImageChangeRequest, RemoteChangeRequest } from '../operations/index.js';
import { parseReference } from '../spec/index.js';
import { bytesOf, checkOptions, checkText, type OptionKinds } from './check-options.js';
import {
  FOR_PLATFORM,
  platformOf,
  RESERVING,
  signalOf,
  sourceDateEpoch,
  STOPPABLE,
  type BuildReserving,
  type ForPlatform,
  type Stoppable,
} from './common.js';
import type { Drivers } from './drivers.js';
import { openFile } from './files.js';
import { remoteDeps } from './remote-build.js';

export interface ChangeOptions extends Stoppable, BuildReserving, ForPlatform {
  /**
   * Name of the new image. Default: none, only an ID. Required for an image outside the store (`docker://REF`,
   * `oci:PATH[:TAG]`, …): the destination, in the same form.
   */
  readonly tag?: string | undefined;
  /** Comment for the history. */
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  /** Dockerfile instructions for the config, such as `ENV DEBUG=1`. */
  readonly changes?: readonly string[] | undefined;
}

export interface RebaseOptions extends ChangeOptions {
  /** The new base image. */
  readonly onto: string;
  /** The current base image. Default: the image in the store that shares the most layers. */
  readonly from?: string | undefined;
}

/** A tar to append: a path, or a stream that is opened when needed. */
export type AppendedTar = string | { readonly name: string; readonly open: () => Readable | Promise<Readable> };

const CHANGE: OptionKinds<ChangeOptions> = {
  ...{ ...STOPPABLE, ...RESERVING, ...FOR_PLATFORM },
  ...{ tag: 'text', message: 'text', author: 'text', changes: 'texts' },
};
const REBASE: OptionKinds<RebaseOptions> = { ...CHANGE, onto: 'text', from: 'text' };

export async function mutateImage(drivers: Drivers, image: string, given: ChangeOptions): Promise<ChangedImage> {
  checkText('mutate', 'the image', image);
  const options = checkOptions('mutate', given, CHANGE);
  if ((options.changes ?? []).length === 0 && options.author === undefined) {
    throw new UsageError('nothing is to be changed', { hint: `say what: --change 'CMD ["serve"]'` });
  }
  const remote = remoteRequest(drivers, image, options);
  if (remote !== undefined)
    return (await import('../operations/mutate-remote/index.js')).configRemoteImage(await remoteDeps(drivers), remote);
  const operations = await import('../operations/mutate/index.js');
  return operations.mutateImage(await drivers.local(), requestOf(drivers, image, options));
}

export async function appendToImage(
  drivers: Drivers,
  image: string,
  files: readonly AppendedTar[],
  given: ChangeOptions,
): Promise<ChangedImage> {
  checkText('append', 'the image', image);
  const options = checkOptions('append', given, CHANGE);
  checkTars(files);
  // Reports unreadable files before doing any work.
  for (const file of files) if (typeof file === 'string') (await openFile(file)).destroy();
  const tars = files.map((file) =>
    typeof file === 'string'
      ? { name: basename(file), open: () => openFile(file) }
      : { name: file.name, open: () => Promise.resolve(file.open()) },
  );
  const remote = remoteRequest(drivers, image, options);
  if (remote !== undefined)
    return (await import('../operations/mutate-remote/index.js')).appendToRemoteImage(await remoteDeps(drivers), {
      ...remote,
      tars,
    });
  const operations = await import('../operations/mutate/index.js');
  const request = { ...requestOf(drivers, image, options), tars };
  return operations.appendToImage(await drivers.local(), request);
}

export async function flattenImage(drivers: Drivers, image: string, given: ChangeOptions): Promise<ChangedImage> {
  checkText('flatten', 'the image', image);
  const options = checkOptions('flatten', given, CHANGE);
  const remote = remoteRequest(drivers, image, options);
  if (remote !== undefined)
    return (await import('../operations/mutate-remote/index.js')).flattenRemoteImage(await remoteDeps(drivers), remote);
  const operations = await import('../operations/mutate/index.js');
  return operations.flattenImage(await drivers.local(), requestOf(drivers, image, options));
}

export async function rebaseImage(drivers: Drivers, image: string, given: RebaseOptions): Promise<ChangedImage> {
  checkText('rebase', 'the image', image);
  const options = checkOptions('rebase', given, REBASE);
  checkText('rebase', 'the option onto', options.onto);
  const remote = remoteRequest(drivers, image, options);
  if (remote !== undefined) {
    const { onto, from } = options;
    if (from === undefined) throw new UsageError('the current base is not given', { hint: 'name it with --from REF' });
    return (await import('../operations/mutate-remote/index.js')).rebaseRemoteImage(await remoteDeps(drivers), {
      ...remote,
      onto,
      from,
    });
  }
  const operations = await import('../operations/mutate/index.js');
  const request = { ...requestOf(drivers, image, options), onto: options.onto, from: options.from };
  return operations.rebaseImage(await drivers.local(), request);
}

function checkTars(files: unknown): void {
  if (!Array.isArray(files)) throw new UsageError('append: the tars are not an array');
}

function requestOf(drivers: Drivers, image: string, options: ChangeOptions): ImageChangeRequest {
  return {
    image,
    reference: options.tag === undefined ? undefined : parseReference(options.tag),
    message: options.message,
    author: options.author,
    changes: options.changes ?? [],
    sourceDateEpoch: sourceDateEpoch(drivers.settings.env),
    reserveBytes: bytesOf(options.reserve, undefined),
    signal: signalOf(options),
  };
}

/** Names of images outside the store. */
const ELSEWHERE = /^(?:docker:\/\/|(?:oci|oci-archive|docker-archive):[^/]*\/)/;

/** The request for an image outside the store; undefined for one in it. Throws UsageError. */
function remoteRequest(drivers: Drivers, image: string, options: ChangeOptions): RemoteChangeRequest | undefined {
  const { tag } = options;
  const [isElsewhere, goesElsewhere] = [ELSEWHERE.test(image), tag !== undefined && ELSEWHERE.test(tag)];
  if (!isElsewhere && !goesElsewhere) {
    if (options.platform === undefined) return undefined;
    throw new UsageError('an image of the store has one platform', { hint: 'leave out --platform' });
  }
  if (!isElsewhere)
    throw new UsageError(`${image} is an image of the store, but ${tag} is not`, {
      hint: 'write docker://REF for an image at a registry, or name the new image and push it',
    });
  if (tag === undefined || !goesElsewhere)
    throw new UsageError('no destination is given for the new image', {
      hint: 'give --tag docker://REF, oci:./DIR[:TAG] or oci-archive:./FILE[:TAG], or pull the image first',
    });
  const { message, author, changes = [] } = options;
  const epoch = sourceDateEpoch(drivers.settings.env);
  return {
    ...{ image, destination: tag, message, author, changes, sourceDateEpoch: epoch, signal: signalOf(options) },
    ...platformOf(options),
  };
}
