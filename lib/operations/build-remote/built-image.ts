import { Readable } from 'node:stream';
import { NotFoundError } from '../../errors.js';
import {
  compressionOfType,
  digestOf,
  formatOf,
  formatPlatform,
  formatReference,
  layerMediaType,
  MEDIA_TYPE,
  parseTransportName,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type ImageDestination,
  type ImageSource,
  type RawManifest,
  type Reference,
  type ReopenableBlob,
  type TransportName,
} from '../../spec/index.js';
import { imageConfigOf, manifestTypeOf, type StageState } from '../build/index.js';
import { bytesOf } from '../build-context/index.js';
import { Spool } from '../convert/index.js';
import { copyImage, CopyLimits, openRegistryDestination, tagsOf, type CopyTarget } from '../copy/index.js';
import { BlobPlaces } from '../download/index.js';
import type { BuiltLayer } from './stage-files.js';
import type { RemoteBuildDeps, RemoteBuildRequest, RemoteBuildResult } from './types.js';

/** A built stage and where the blobs of its layers are. */
export interface BuiltStage {
  readonly state: StageState;
  /** Has the layers that `sources` lacks. */
  readonly base: ImageSource | undefined;
  readonly sources: ReadonlyMap<Digest, ReopenableBlob>;
  /** Other places of layers, for mounts. */
  readonly known: readonly { readonly place: Pick<Reference, 'host' | 'repository'>; readonly digest: Digest }[];
}

/** A layer in a temporary file, to read. */
export function spooledBlob({ blob, file }: BuiltLayer): ReopenableBlob {
  const open: ReopenableBlob['open'] = ({ offset }) =>
    Promise.resolve(Readable.from(bytesOf({ fd: file.fd, offset, size: file.size - offset }), { objectMode: false }));
  return { descriptor: blob, open };
}

/** Writes the documents of a built stage and copies the image to the destinations of the request. Throws what copying throws. */
export async function deliver(
  deps: RemoteBuildDeps,
  { state, base, sources, known }: BuiltStage,
  request: RemoteBuildRequest,
): Promise<Omit<RemoteBuildResult, 'steps' | 'seconds'>> {
  const mediaType = manifestTypeOf(request);
  const format = formatOf(mediaType);
  const layers = state.layers.flatMap((layer) => (layer.kind === 'base' ? [layer] : []));
  const blobs = layers.map(({ blob }) => ({
    ...blob,
    mediaType: layerMediaType(format, compressionOfType(blob.mediaType), blob.mediaType),
  }));
  const config = imageConfigOf(state, { diffIds: layers.map(({ diffId }) => diffId) }, request);
  const documents = documentsOf(config, { layers: blobs, mediaType, annotations: request.annotations });
  await copyTo(deps, { image: new BuiltImage(documents, { sources, base, known }), known }, request);
  return {
    id: documents.config.digest,
    digest: documents.manifest.descriptor.digest,
    names: request.references.map(formatReference),
    platform: formatPlatform(state.platform),
    layers: blobs.map(({ digest, size }) => ({ digest, size, state: sources.has(digest) ? 'packed' : 'present' })),
  };
}

interface Documents {
  readonly manifest: RawManifest;
  readonly config: Descriptor;
  readonly configBytes: Buffer;
}

function documentsOf(
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
): Documents {
  const configBytes = Buffer.from(JSON.stringify(config));
  const described: Descriptor = {
    mediaType: mediaType === MEDIA_TYPE.dockerManifest ? MEDIA_TYPE.dockerConfig : MEDIA_TYPE.ociConfig,
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

/** A built image as something to copy. */
class BuiltImage implements ImageSource {
  readonly name = 'the built image';
  readonly repository: ImageSource['repository'];
  readonly #documents: Documents;
  readonly #from: Pick<BuiltStage, 'sources' | 'base' | 'known'>;

  constructor(documents: Documents, from: Pick<BuiltStage, 'sources' | 'base' | 'known'>) {
    this.#documents = documents;
    this.#from = from;
    this.repository = from.base?.repository;
  }

  neighboursAt(host: string, blob?: Pick<Descriptor, 'digest'>): string[] {
    const { base, known } = this.#from;
    const having = known.filter(({ digest }) => blob === undefined || blob.digest === digest);
    const places = [...(base?.repository === undefined ? [] : [base.repository]), ...having.map(({ place }) => place)];
    return [...new Set(places.filter((place) => place.host === host).map(({ repository }) => repository))];
  }

  manifest(): Promise<RawManifest> {
    return Promise.resolve(this.#documents.manifest);
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    const { config, configBytes } = this.#documents;
    if (descriptor.digest === config.digest) {
      return { descriptor, open: ({ offset }) => Promise.resolve(Readable.from([configBytes.subarray(offset)])) };
    }
    const { sources, base } = this.#from;
    const found = sources.get(descriptor.digest) ?? base?.blob(descriptor);
    if (found !== undefined) return found;
    throw new NotFoundError(`the build has no blob ${descriptor.digest}`, { kind: 'blob', subject: descriptor.digest });
  }

  async *tags(): AsyncGenerator<string> {
    // It has no name of its own.
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

async function copyTo(
  deps: RemoteBuildDeps,
  { image, known }: { readonly image: ImageSource } & Pick<BuiltStage, 'known'>,
  { destinations, signal }: RemoteBuildRequest,
): Promise<void> {
  const blobs = new BlobPlaces();
  for (const { place, digest } of known) blobs.add(place, { digest });
  const targets: CopyTarget[] = [];
  const open = (name: TransportName): Promise<ImageDestination> => {
    if (name.transport !== 'docker' && name.transport !== 'docker-v1') return deps.openDestination(name, { signal });
    return openRegistryDestination(deps.registry, name.reference, { signal, known: blobs, mountFrom: image });
  };
  try {
    for (const text of destinations) {
      const name = parseTransportName(text);
      targets.push({ destination: await open(name), tags: tagsOf(name, name, []) });
    }
    await copyImage(
      {
        progress: deps.progress,
        limits: new CopyLimits(deps.parallel),
        convert: { ...deps, createSpool: () => new Spool(deps.temporaryDirectory) },
        foreignBlob: (blob) => (deps.sourceRegistry ?? deps.registry).foreignBlob(blob),
      },
      {
        ...{ source: image, selector: {}, targets, preserveDigests: true, referrers: false, signal },
        selection: { kind: 'all' },
      },
    );
  } finally {
    for (const { destination } of targets) await destination.close();
  }
}
