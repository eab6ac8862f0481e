import { InvalidReferenceError, NotFoundError } from '../errors.js';
import {
  formatReference,
  parseReference,
  type Descriptor,
  type ImageSelector,
  type ImageSource,
  type RawManifest,
  type ReopenableBlob,
} from '../spec/index.js';
import { openImageArchive } from './open-archive.js';
import type { ArchivedImage, ImageArchive } from './types.js';

/** The most names listed in an error. */
const LISTED = 10;

/** The images of an archive or OCI layout, to copy from. */
export class ArchiveSource implements ImageSource {
  readonly name: string;
  readonly #archive: ImageArchive;

  /** Takes ownership of `archive`. */
  constructor(name: string, archive: ImageArchive) {
    this.name = name;
    this.#archive = archive;
  }

  /** `tag`: the name in an OCI layout (`org.opencontainers.image.ref.name`), or a reference. */
  async manifest({ tag, digest }: ImageSelector, { signal }: { readonly signal: AbortSignal }): Promise<RawManifest> {
    signal.throwIfAborted();
    return this.#archive.manifest(digest ?? this.#find(tag).descriptor.digest);
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    return this.#archive.blob(descriptor);
  }

  /** Includes the full names of images that have no tag in a layout. */
  // oxlint-disable-next-line typescript/require-await
  async *tags(): AsyncGenerator<string> {
    for (const image of this.#archive.images) yield* labelsOf(image);
  }

  close(): Promise<void> {
    return this.#archive.close();
  }

  #find(tag: string | undefined): ArchivedImage {
    const { images } = this.#archive;
    const found = tag === undefined ? nameless(images) : named(images, tag);
    if (found !== undefined) return found;
    const labels = images.flatMap(labelsOf);
    const more = labels.length > LISTED ? ` and ${labels.length - LISTED} more` : '';
    throw new NotFoundError(
      tag === undefined
        ? `${this.name} contains ${images.length} images: specify one`
        : `${this.name} has no image ${tag}`,
      {
        kind: 'image',
        subject: tag ?? this.name,
        hint: labels.length === 0 ? undefined : `it has ${labels.slice(0, LISTED).join(', ')}${more}`,
      },
    );
  }
}

/** Opens an archive or layout to copy from. Throws the errors of `openImageArchive`. */
export async function openArchiveSource(options: {
  /** Name in the user's notation: `oci-archive:app.tar`. */
  readonly name: string;
  readonly path: string;
  readonly temporaryDirectory: string;
  readonly signal: AbortSignal;
}): Promise<ArchiveSource> {
  const { name, path, temporaryDirectory, signal } = options;
  return new ArchiveSource(name, await openImageArchive({ source: path, title: path, temporaryDirectory, signal }));
}

function labelsOf({ refNames, names }: ArchivedImage): readonly string[] {
  return refNames.length > 0 ? refNames : names;
}

/** The only image, or the only one without a name. */
function nameless(images: readonly ArchivedImage[]): ArchivedImage | undefined {
  const candidates = images.length === 1 ? images : images.filter((image) => labelsOf(image).length === 0);
  return candidates.length === 1 ? candidates[0] : undefined;
}

function named(images: readonly ArchivedImage[], tag: string): ArchivedImage | undefined {
  const exact = images.find(({ refNames }) => refNames.includes(tag));
  if (exact !== undefined) return exact;
  try {
    const full = formatReference(parseReference(tag));
    return images.find(({ names }) => names.includes(full));
  } catch (error) {
    if (error instanceof InvalidReferenceError) return undefined;
    throw error;
  }
}
