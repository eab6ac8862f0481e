import type { Writable } from 'node:stream';
import { DockerDirectoryWriter } from './docker-directory-writer.js';
import { OciDirectoryWriter } from './oci-directory-writer.js';
import { TarArchiveWriter } from './tar-archive-writer.js';
import type { ImageArchiveWriter } from './types.js';
import { V1ArchiveWriter } from './v1-archive-writer.js';

export type CreateArchiveOptions =
  | { readonly format: 'oci-dir' | 'docker-dir'; readonly directory: string; readonly signal: AbortSignal }
  | {
      readonly format: 'oci-archive' | 'docker-archive';
      /** Ended by `finish`, destroyed by `discard`. */
      readonly output: Writable;
      /** Modification time of all members in seconds since 1970. Default 0. */
      readonly mtime?: number | undefined;
    }
  | {
      readonly format: 'v1';
      readonly output: Writable;
      readonly mtime?: number | undefined;
      /** Directory for layers while they are decompressed. */
      readonly temporaryDirectory: string;
    };

/** Starts an archive. Throws UsageError, ArchiveFormatError (an OCI layout that cannot be extended). */
export async function createImageArchive(options: CreateArchiveOptions): Promise<ImageArchiveWriter> {
  if ('directory' in options) {
    const Writer = options.format === 'oci-dir' ? OciDirectoryWriter : DockerDirectoryWriter;
    return Writer.open(options.directory, options.signal);
  }
  if (options.format === 'v1')
    return new V1ArchiveWriter(options.output, options.mtime ?? 0, options.temporaryDirectory);
  return new TarArchiveWriter(options.format, options.output, options.mtime ?? 0);
}
