import { stat } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { LoadedImage, SavedImage } from '../operations/index.js';
import { fileError } from '../util/index.js';
import { bytesOf, checkOptions, checkTexts, type OptionKinds } from './check-options.js';
import {
  FOR_PLATFORM,
  platformOf,
  RESERVING,
  signalOf,
  sourceDateEpoch,
  spoolDirectory,
  STOPPABLE,
  type ForPlatform,
  type Reserving,
  type Stoppable,
} from './common.js';
import type { Drivers } from './drivers.js';
import { ARCHIVE_FORMATS } from './archive-formats.js';
import { checkOutput, checkSource, writeTo } from './files.js';
import { SEVERAL_LOGINS } from './named-login.js';
import { DEFAULTS } from './defaults.js';

export interface SaveOptions extends Stoppable {
  /** Default: `docker-archive`. */
  readonly format?: (typeof ARCHIVE_FORMATS)[number] | undefined;
}

export interface LoadOptions extends Stoppable, ForPlatform, Reserving {
  /** Name of the source in messages. Default: its path. */
  readonly sourceName?: string | undefined;
  /** Reassigns names that other images already have. */
  readonly replace?: boolean | undefined;
}

const SAVE: OptionKinds<SaveOptions> = { ...STOPPABLE, format: ARCHIVE_FORMATS };
const LOAD: OptionKinds<LoadOptions> = {
  ...{ ...STOPPABLE, ...FOR_PLATFORM, ...RESERVING },
  ...{ sourceName: 'text', replace: 'flag' },
};

export async function save(
  drivers: Drivers,
  images: readonly string[],
  output: string | Writable,
  given: SaveOptions,
): Promise<SavedImage[]> {
  checkTexts('save', 'the list of images', images);
  checkOutput('save', output);
  const options = checkOptions('save', given, SAVE);
  const signal = signalOf(options);
  const format = options.format ?? 'docker-archive';
  type Target = Parameters<Drivers['createArchive']>[0];
  const into = async (target: Target): Promise<SavedImage[]> => {
    drivers.namedLogin([], SEVERAL_LOGINS);
    const { saveImages } = await import('../operations/archives/index.js');
    const local = await drivers.local();
    const createArchive = () => drivers.createArchive(target);
    // Readers of layouts, such as skopeo before 1.10 and umoci, expect OCI manifests.
    const manifestFormat = format === 'oci-archive' || format === 'oci-dir' ? 'oci' : undefined;
    const { progress } = drivers;
    return saveImages(
      { ...local, progress, ...drivers.lazyRemote() },
      { images, manifestFormat, createArchive, signal },
    );
  };
  if (format === 'oci-dir' || format === 'docker-dir') {
    if (typeof output !== 'string') throw new UsageError(`save: ${format} is written to a path, not to a stream`);
    return into({ format, directory: output, signal });
  }
  const mtime = sourceDateEpoch(drivers.settings.env);
  const temporaryDirectory = spoolDirectory(drivers.settings.env);
  return writeTo(output, (stream) => into({ format, output: stream, mtime, temporaryDirectory }));
}

export async function load(drivers: Drivers, source: string | Readable, given: LoadOptions): Promise<LoadedImage[]> {
  checkSource('load', source);
  const options = checkOptions('load', given, LOAD);
  const signal = signalOf(options);
  if (typeof source === 'string') await checkPath(source);
  const title = options.sourceName ?? (typeof source === 'string' ? source : 'a stream');
  const temporaryDirectory = spoolDirectory(drivers.settings.env);
  const archive = await drivers.openArchive({ source, title, temporaryDirectory, signal });
  try {
    const { loadImages } = await import('../operations/archives/index.js');
    return await loadImages(await drivers.unpacking(), {
      archive,
      replace: options.replace ?? false,
      ...platformOf(options),
      reserveBytes: bytesOf(options.reserve, DEFAULTS.reserve),
      signal,
    });
  } finally {
    await archive.close();
  }
}

async function checkPath(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    throw fileError(path, 'read', error);
  }
}
