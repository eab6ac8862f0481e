import {
  formatReference,
  parseReference,
  type Descriptor,
  type ImageDestination,
  type RawManifest,
  type ReopenableBlob,
  type PutBlobOptions,
} from '../spec/index.js';
import { createOutputFile, type OutputFile } from '../util/index.js';
import { createImageArchive } from './create-archive.js';
import type { ArchiveName, ImageArchiveWriter } from './types.js';

export interface ArchiveDestinationOptions {
  /** Name in the user's notation: `oci:layout:1`. */
  readonly name: string;
  readonly format: 'oci-dir' | 'docker-dir' | 'oci-archive' | 'docker-archive';
  readonly path: string;
  /** The part after the path: the tag in a layout, the reference in a docker-archive. */
  readonly tag?: string | undefined;
  /** Modification time of the members of a tar in seconds since 1970. Default 0. */
  readonly mtime?: number | undefined;
  readonly signal: AbortSignal;
}

/** An archive or OCI layout to copy to. `commit` gives a file its name, replacing an existing file. */
export class ArchiveDestination implements ImageDestination {
  readonly name: string;
  readonly takesIndex: boolean;
  readonly parallelBlobs: number;
  readonly #writer: ImageArchiveWriter;
  readonly #file: OutputFile | undefined;
  readonly #tag: string | undefined;
  #committed = false;

  /** Use `openArchiveDestination`. */
  constructor(options: ArchiveDestinationOptions, writer: ImageArchiveWriter, file: OutputFile | undefined) {
    this.name = options.name;
    this.takesIndex = options.format !== 'docker-archive';
    this.parallelBlobs = isDirectory(options.format) ? 4 : 1;
    this.#tag = options.tag;
    this.#writer = writer;
    this.#file = file;
  }

  hasBlob(descriptor: Descriptor): Promise<boolean> {
    return this.#writer.has(descriptor);
  }

  hasManifest(descriptor: Descriptor): Promise<boolean> {
    return this.#writer.hasManifest?.(descriptor) ?? this.#writer.has(descriptor);
  }

  putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    return this.#writer.putBlob(blob, options);
  }

  async putManifest(manifest: RawManifest, { tag }: { readonly tag?: string | undefined }): Promise<void> {
    await this.#writer.putManifest(manifest);
    if (tag !== undefined) await this.#writer.addImage(manifest, this.#nameOf(tag));
  }

  async commit({ untagged }: { readonly untagged?: RawManifest | undefined }): Promise<void> {
    if (untagged !== undefined) await this.#writer.addImage(untagged, {});
    await this.#writer.finish();
    await this.#file?.keep();
    this.#committed = true;
  }

  async close(): Promise<void> {
    if (!this.#committed) await this.#writer.discard();
    await this.#file?.discard();
  }

  /** A docker-archive contains full names: without one, a further tag has no repository. */
  #nameOf(tag: string): ArchiveName {
    if (this.takesIndex) return { refName: tag };
    if (this.#tag === undefined) return {};
    const { digest: _digest, ...reference } = parseReference(this.#tag);
    return { name: formatReference(tag === this.#tag ? reference : { ...reference, tag }) };
  }
}

function isDirectory(format: ArchiveDestinationOptions['format']): format is 'oci-dir' | 'docker-dir' {
  return format === 'oci-dir' || format === 'docker-dir';
}

/** Opens an archive or layout to copy to. Throws UsageError, ArchiveFormatError, InvalidReferenceError. */
export async function openArchiveDestination(options: ArchiveDestinationOptions): Promise<ArchiveDestination> {
  const { format, path, tag, mtime, signal } = options;
  if (isDirectory(format)) {
    return new ArchiveDestination(options, await createImageArchive({ format, directory: path, signal }), undefined);
  }
  if (format === 'docker-archive' && tag !== undefined) parseReference(tag);
  const file = await createOutputFile(path);
  return new ArchiveDestination(options, await createImageArchive({ format, output: file.stream, mtime }), file);
}
