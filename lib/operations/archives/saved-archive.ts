import type { ImageArchiveWriter } from '../../archive/index.js';
import {
  isNonDistributable,
  type Descriptor,
  type ImageDestination,
  type RawManifest,
  type ReopenableBlob,
  type PutBlobOptions,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';

/** An archive as the destination of several images in turn. Its tags are full names; its creator finishes it. */
export class SavedArchive implements ImageDestination {
  readonly name: string;
  readonly takesIndex = false;
  readonly parallelBlobs = 1;
  readonly #writer: ImageArchiveWriter;
  readonly #content: OperationDeps['content'];

  constructor(writer: ImageArchiveWriter, content: OperationDeps['content']) {
    this.name = writer.format;
    this.#writer = writer;
    this.#content = content;
  }

  /** Skips a non-distributable layer that the store lacks. */
  async hasBlob(blob: Descriptor): Promise<boolean> {
    if (await this.#writer.has(blob)) return true;
    return isNonDistributable(blob) && (await this.#content.stat(blob.digest)) === undefined;
  }

  /** Writes each image, even if it is already there under another name. */
  hasManifest(): Promise<boolean> {
    return Promise.resolve(false);
  }

  putBlob(blob: ReopenableBlob, options: PutBlobOptions): Promise<void> {
    return this.#writer.putBlob(blob, options);
  }

  async putManifest(manifest: RawManifest, { tag }: { readonly tag?: string | undefined }): Promise<void> {
    await this.#writer.putManifest(manifest);
    if (tag !== undefined) await this.#writer.addImage(manifest, { name: tag });
  }

  async commit({ untagged }: { readonly untagged?: RawManifest | undefined }): Promise<void> {
    if (untagged !== undefined) await this.#writer.addImage(untagged, {});
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
