import { parseReference } from '../spec/index.js';
import { bytesOf, checkOptions, checkText, type OptionKinds } from './check-options.js';
import { FOR_PLATFORM, platformOf, signalOf, STOPPABLE, type ForPlatform, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';

export interface ReadFileOptions extends Stoppable, ForPlatform {
  /** Largest file accepted: bytes, or text such as `64MiB`. Default: 64 MiB. */
  readonly maxBytes?: number | string | undefined;
}

const READ_FILE: OptionKinds<ReadFileOptions> = { ...STOPPABLE, ...FOR_PLATFORM, maxBytes: 'size' };
const MAX_BYTES = 64 * 2 ** 20;

/** Throws NotFoundError when the image has no such file, UsageError when it is not a regular file or too large. */
export async function readFile(drivers: Drivers, ref: string, path: string, given: ReadFileOptions): Promise<Buffer> {
  checkText('readFile', 'the reference', ref);
  checkText('readFile', 'the path', path);
  const options = checkOptions('readFile', given, READ_FILE);
  const reference = parseReference(await drivers.fullName(ref));
  const { readImageFile } = await import('../operations/images/index.js');
  const { platform } = platformOf(options);
  const maxBytes = bytesOf(options.maxBytes, MAX_BYTES);
  const request = { reference, path, platform, maxBytes, signal: signalOf(options) };
  return readImageFile(await drivers.layerSearch(reference), request);
}
