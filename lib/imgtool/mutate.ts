import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { ChangedImage, ImageChangeRequest } from '../operations/index.js';
import { parseReference } from '../spec/index.js';
import { bytesOf, checkOptions, checkText, type OptionKinds } from './check-options.js';
import { RESERVING, signalOf, sourceDateEpoch, STOPPABLE, type BuildReserving, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { openFile } from './files.js';

export interface ChangeOptions extends Stoppable, BuildReserving {
  /** Name of the new image. Default: it has an ID only. */
  readonly tag?: string | undefined;
  /** Comment for the history. */
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  /** Dockerfile instructions for the config, such as `ENV DEBUG=1`. */
  readonly changes?: readonly string[] | undefined;
}

export interface RebaseOptions extends ChangeOptions {
  /** Image of the store that becomes the base. */
  readonly onto: string;
  /** Image of the store that is the base now. Default: the one that shares most layers. */
  readonly from?: string | undefined;
}

/** A tar to append: a path, or a stream that is opened when it is needed. */
export type AppendedTar = string | { readonly name: string; readonly open: () => Readable | Promise<Readable> };

const CHANGE: OptionKinds<ChangeOptions> = {
  ...{ ...STOPPABLE, ...RESERVING },
  ...{ tag: 'text', message: 'text', author: 'text', changes: 'texts' },
};
const REBASE: OptionKinds<RebaseOptions> = { ...CHANGE, onto: 'text', from: 'text' };

export async function mutateImage(drivers: Drivers, image: string, given: ChangeOptions): Promise<ChangedImage> {
  checkText('mutate', 'the image', image);
  const options = checkOptions('mutate', given, CHANGE);
  if ((options.changes ?? []).length === 0 && options.author === undefined) {
    throw new UsageError('nothing is to be changed', { hint: `say what: --change 'CMD ["serve"]'` });
  }
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
  // What cannot be read is said before anything is done.
  for (const file of files) if (typeof file === 'string') (await openFile(file)).destroy();
  const tars = files.map((file) =>
    typeof file === 'string'
      ? { name: basename(file), open: () => openFile(file) }
      : { name: file.name, open: () => Promise.resolve(file.open()) },
  );
  const operations = await import('../operations/mutate/index.js');
  const request = { ...requestOf(drivers, image, options), tars };
  return operations.appendToImage(await drivers.local(), request);
}

export async function flattenImage(drivers: Drivers, image: string, given: ChangeOptions): Promise<ChangedImage> {
  checkText('flatten', 'the image', image);
  const options = checkOptions('flatten', given, CHANGE);
  const operations = await import('../operations/mutate/index.js');
  return operations.flattenImage(await drivers.local(), requestOf(drivers, image, options));
}

export async function rebaseImage(drivers: Drivers, image: string, given: RebaseOptions): Promise<ChangedImage> {
  checkText('rebase', 'the image', image);
  const options = checkOptions('rebase', given, REBASE);
  checkText('rebase', 'the option onto', options.onto);
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
