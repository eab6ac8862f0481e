import { Readable } from 'node:stream';
import { NotFoundError } from '../../errors.js';
import {
  digestOf,
  MEDIA_TYPE,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type ImageSource,
  type RawManifest,
  type ReopenableBlob,
} from '../../spec/index.js';
import { bytesOf } from '../build-context/index.js';
import type { BuiltLayer } from './stage-files.js';

/** The documents of a built image. */
export interface BuiltDocuments {
  readonly manifest: RawManifest;
  readonly config: Descriptor;
  readonly configBytes: Buffer;
}

/** Writes config and manifest. */
export function documentsOf(
  config: ImageConfig,
  {
    layers,
    mediaType,
    annotations,
  }: {
    readonly layers: readonly Descriptor[];
    readonly mediaType: string;
    readonly annotations: ReadonlyMap<string, string>;
  },
): BuiltDocuments {
  const configBytes = Buffer.from(JSON.stringify(config));
  const isDocker = mediaType === MEDIA_TYPE.dockerManifest;
  const described: Descriptor = {
    mediaType: isDocker ? MEDIA_TYPE.dockerConfig : MEDIA_TYPE.ociConfig,
    digest: digestOf(configBytes),
    size: configBytes.length,
  };
  const document = {
    ...{ schemaVersion: 2, mediaType, config: described, layers },
    ...(annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  return { manifest: { bytes, descriptor }, config: described, configBytes };
}

/** A built image as something to copy: layers of the base come from where it is, those of the build from temporary files. */
export class BuiltImage implements ImageSource {
  readonly name = 'the built image';
  readonly repository: ImageSource['repository'];
  readonly #documents: BuiltDocuments;
  readonly #built: ReadonlyMap<Digest, BuiltLayer>;
  readonly #base: ImageSource | undefined;

  constructor(documents: BuiltDocuments, built: readonly BuiltLayer[], base: ImageSource | undefined) {
    this.#documents = documents;
    this.#built = new Map(built.map((layer) => [layer.blob.digest, layer]));
    this.#base = base;
    this.repository = base?.repository;
  }

  manifest(): Promise<RawManifest> {
    return Promise.resolve(this.#documents.manifest);
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    const { config, configBytes } = this.#documents;
    if (descriptor.digest === config.digest) {
      return { descriptor, open: ({ offset }) => Promise.resolve(Readable.from([configBytes.subarray(offset)])) };
    }
    const built = this.#built.get(descriptor.digest);
    if (built !== undefined) {
      const { fd, size } = built.file;
      return {
        descriptor,
        open: ({ offset }) =>
          Promise.resolve(Readable.from(bytesOf({ fd, offset, size: size - offset }), { objectMode: false })),
      };
    }
    if (this.#base === undefined)
      throw new NotFoundError(`the build has no blob ${descriptor.digest}`, {
        kind: 'blob',
        subject: descriptor.digest,
      });
    return this.#base.blob(descriptor);
  }

  async *tags(): AsyncGenerator<string> {
    // It has no name of its own.
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
