import { Readable } from 'node:stream';
import type { BlobSource, RegistryClient, RepositoryReader } from '../../registry/index.js';
import type {
  Descriptor,
  Digest,
  ImageSelector,
  ImageSource,
  RawManifest,
  Referrers,
  RepositoryName,
  ReopenableBlob,
  Abortable,
} from '../../spec/index.js';

/** A repository at a registry as a source. */
export class RegistrySource implements ImageSource {
  readonly reader: RepositoryReader;

  constructor(reader: RepositoryReader) {
    this.reader = reader;
  }

  get name(): string {
    return `docker://${this.reader.host}/${this.reader.repository}`;
  }

  manifest({ tag, digest }: ImageSelector, options: Abortable): Promise<RawManifest> {
    return this.reader.manifest(digest === undefined ? { tag: tag ?? 'latest' } : { digest }, options);
  }

  blob(descriptor: Descriptor, options: { readonly priority?: number } = {}): ReopenableBlob {
    return reopenable(this.reader.blob(descriptor, options));
  }

  get repository(): RepositoryName {
    return this.reader;
  }

  neighboursAt(host: string): readonly string[] {
    return host === this.reader.host ? [this.reader.repository] : [];
  }

  blobSize(digest: Digest, options: Abortable): Promise<number> {
    return this.reader.blobSize!(digest, options);
  }

  referrers(digest: Digest, options: Abortable): Promise<Referrers> {
    return this.reader.referrers(digest, options);
  }

  tags(options: Abortable): AsyncIterable<string> {
    return this.reader.tags(options);
  }

  /** Does nothing: the client belongs to its creator. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Opens a repository as a source. Sends nothing. */
export async function openRegistrySource(
  registry: RegistryClient,
  repository: RepositoryName,
  options: Abortable,
): Promise<RegistrySource> {
  return new RegistrySource(await registry.open(repository, options));
}

/** Converts a blob of a registry, and skips bytes before the offset if the server sends them. */
export function reopenable(source: BlobSource): ReopenableBlob {
  return {
    descriptor: source.descriptor,
    download: source,
    open: async ({ signal, offset }) => {
      const { body, restarted } = await source.open({ signal, offset });
      return restarted ? Readable.from(skip(body, offset), { objectMode: false }) : body;
    },
  };
}

async function* skip(body: Readable, bytes: number): AsyncGenerator<Buffer> {
  let left = bytes;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const rest = chunk.subarray(Math.min(left, chunk.length));
    left -= chunk.length - rest.length;
    if (rest.length > 0) yield rest;
  }
}
