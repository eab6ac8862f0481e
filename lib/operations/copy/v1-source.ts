import { NotFoundError } from '../../errors.js';
import type { V1RemoteImage, V1Repository } from '../../registry/index.js';
import { mapLimited } from '../../util/index.js';
import {
  annotateV1,
  checkV1Chain,
  configOfV1,
  type Descriptor,
  type DiffId,
  type Digest,
  type ImageSelector,
  type ImageSource,
  isDigest,
  layerMediaType,
  ociImageOf,
  type RawManifest,
  type ReopenableBlob,
  type Abortable,
} from '../../spec/index.js';
import { blobOfBytes, type ConvertDeps, repackLayer, Spool, type Spooled } from '../convert/index.js';
import { tagForV1 } from '../registry/index.js';

/** The number of concurrently fetched layers, in addition to the limit of the host. */
const PARALLEL_LAYERS = 6;

/** A layer in a temporary file. */
interface Fetched {
  readonly spooled: Spooled;
  readonly payload: Digest;
  /** The compression differs from that of the registry. */
  readonly converted: boolean;
}

/** Properties of a layer. */
interface V1Fact extends Pick<Spooled, 'digest' | 'size' | 'compression'> {
  readonly diffId: DiffId;
  readonly payload: Digest;
}

/** An image with either the known properties of its layer or the fetched layer. */
interface Arrived {
  readonly image: V1RemoteImage;
  readonly fact: V1Fact | undefined;
  readonly fetched: Fetched | undefined;
}

/**
 * A repository at a v1 registry as a source. Images get the same config and manifest as in a pull, which contain the v1
 * JSON. This requires fetching the layers, which stay in temporary files until `close`.
 */
export class V1Source implements ImageSource {
  readonly #deps: ConvertDeps;
  readonly #registry: V1Repository;
  readonly #id: string | undefined;
  readonly #spool: Spool;
  readonly #made = new Map<string, Promise<RawManifest>>();
  readonly #blobs = new Map<Digest, ReopenableBlob['open']>();

  /** `id`: the image that the tag names, if known. */
  constructor(deps: ConvertDeps, registry: V1Repository, id?: string) {
    this.#deps = deps;
    this.#registry = registry;
    this.#id = id;
    this.#spool = new Spool(deps.temporaryDirectory);
  }

  get name(): string {
    return `docker-v1://${this.#registry.host}/${this.#registry.repository}`;
  }

  async manifest(selector: ImageSelector, { signal }: Abortable): Promise<RawManifest> {
    signal.throwIfAborted();
    const tag = tagForV1({ ...selector, host: this.#registry.host });
    let made = this.#made.get(tag);
    if (made === undefined) {
      made = this.#make(tag, signal);
      this.#made.set(tag, made);
      made.catch(() => this.#made.delete(tag));
    }
    return made;
  }

  blob(descriptor: Descriptor): ReopenableBlob {
    const { digest } = descriptor;
    return {
      descriptor,
      open: async (options) => {
        const made = this.#blobs.get(digest);
        if (made === undefined)
          throw new NotFoundError(`${this.name} has no blob ${digest}`, { kind: 'blob', subject: digest });
        return made(options);
      },
    };
  }

  async *tags(options: Abortable): AsyncGenerator<string> {
    yield* (await this.#registry.tags(options)).keys();
  }

  close(): Promise<void> {
    return this.#spool.close();
  }

  async #make(tag: string, signal: AbortSignal): Promise<RawManifest> {
    const id = this.#id ?? (await this.#registry.resolve(tag, { signal }));
    const ids = await this.#registry.ancestry(id, { signal });
    const arrived = await mapLimited(ids, PARALLEL_LAYERS, (id) => this.#recall(id, signal));
    const images = arrived.map(({ image }) => image);
    checkV1Chain(images);
    const diffIds: DiffId[] = [];
    const layers: Descriptor[] = [];
    for (const { image, fact, fetched } of arrived) {
      const { digest, size, compression, diffId, payload } = fact ?? (await this.#examine(image, fetched!, signal));
      diffIds.push(diffId);
      const layer = { mediaType: layerMediaType('oci', compression, ''), digest, size };
      this.#blobs.set(digest, this.#opener(image, fetched));
      layers.push({ ...layer, annotations: annotateV1(image, payload) });
    }
    const bytes = configOfV1(images, diffIds);
    const { config, manifest } = ociImageOf(bytes, layers);
    this.#blobs.set(config.digest, (options) => blobOfBytes(config, bytes).open(options));
    return manifest;
  }

  /** An image with its layer, or with recorded properties of the layer. */
  async #recall(id: string, signal: AbortSignal): Promise<Arrived> {
    const { facts } = this.#deps;
    if (facts === undefined) return this.#fetch(id, signal);
    const image = await this.#registry.image(id, { signal });
    const key = this.#keyOf(image);
    const fact = key === undefined ? undefined : parseFact(facts.get(key));
    return fact === undefined ? this.#fetch(id, signal, image) : { image, fact, fetched: undefined };
  }

  /** The key of recorded properties. Undefined without a checksum from the registry, because IDs prove nothing. */
  #keyOf({ id, payloadChecksums }: V1RemoteImage): string | undefined {
    const [checksum] = payloadChecksums;
    return checksum === undefined ? undefined : `v1-layer ${id} ${checksum}`;
  }

  async #examine(image: V1RemoteImage, { spooled, payload, converted }: Fetched, signal: AbortSignal): Promise<V1Fact> {
    const how = { fetched: spooled, spool: this.#spool, form: undefined, signal };
    const { diffId } = await repackLayer(this.#deps, how);
    const { digest, size, compression } = spooled;
    const fact = { digest, size, compression, diffId, payload };
    const key = this.#keyOf(image);
    if (key !== undefined && !converted) this.#deps.facts?.set(key, JSON.stringify(fact));
    return fact;
  }

  /** Opens the fetched layer, or fetches it when it is first needed. */
  #opener(image: V1RemoteImage, fetched: Fetched | undefined): ReopenableBlob['open'] {
    let again: Promise<Arrived> | undefined;
    return async (options) => {
      if (fetched !== undefined) return fetched.spooled.open(options);
      if (again === undefined) {
        again = this.#fetch(image.id, options.signal, image);
        again.catch(() => (again = undefined));
      }
      return (await again).fetched!.spooled.open(options);
    };
  }

  async #fetch(id: string, signal: AbortSignal, known?: V1RemoteImage): Promise<Arrived> {
    const event = (state: 'active' | 'retrying' | 'done', more: object): void =>
      this.#deps.progress.event({ v: 1, kind: 'blob', action: 'fetch', digest: id, state, ...more });
    const image = known === undefined ? this.#registry.image(id, { signal }) : Promise.resolve(known);
    // `readLayer` awaits it and reports its failure.
    image.catch(() => undefined);
    let total = 0;
    const { result, payloadChecksum, converted } = await this.#registry.readLayer(id, {
      image,
      signal,
      consume: (body) => this.#spool.take(body, { signal }),
      onProgress: (transferred) => event('active', { transferred: (total = transferred) }),
      onRetry: (message) => event('retrying', { message }),
    });
    event('done', { transferred: total, total });
    const fetched = { spooled: result, payload: payloadChecksum, converted };
    return { image: await image, fact: undefined, fetched };
  }
}

function parseFact(text: string | undefined): V1Fact | undefined {
  if (text === undefined) return undefined;
  try {
    const fact = JSON.parse(text) as V1Fact;
    const digests = [fact.digest, fact.diffId, fact.payload];
    const good = digests.every(isDigest) && Number.isSafeInteger(fact.size) && typeof fact.compression === 'string';
    return good ? fact : undefined;
  } catch {
    return undefined;
  }
}
