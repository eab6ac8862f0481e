import { InvalidManifestError, UsageError } from '../../errors.js';
import { mapLimited } from '../../util/index.js';
import {
  allowsCompression,
  buildSchema1,
  compressionOfType,
  convertManifest,
  type Descriptor,
  type DiffId,
  type Digest,
  digestOf,
  EMPTY_LAYER,
  formatOf,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  type ImageSource,
  isConfigType,
  isIndexType,
  isNonDistributable,
  isLayerType,
  isManifestType,
  isSchema1Type,
  layerMediaType,
  type ManifestFormat,
  MAX_CONFIG_BYTES,
  MEDIA_TYPE,
  parseImageConfig,
  parseManifest,
  parseSchema1,
  rawManifest,
  type RawManifest,
} from '../../spec/index.js';
import { configOfSchema1 } from '../registry/index.js';
import { type ConvertImageDeps, LayerConverter, type LayerForm, type LayerJob } from './convert-layers.js';
import { ConvertedSource } from './converted-source.js';
import { ABOUT } from './select-manifest.js';
import { blobOfBytes, type LayerSpool, readSmallBlob } from './spool.js';
import { sizedBlobs } from './walk-manifests.js';

/** The target form of an image. What is undefined stays unchanged. */
export interface Conversion {
  /** Docker's schema 1 (v2s1) has the same layers as v2s2 and no config. */
  readonly format?: ManifestFormat | 'v2s1' | undefined;
  /** Without a level, layers that already have this compression stay unchanged. */
  readonly compression?: { readonly kind: 'gzip' | 'zstd'; readonly level?: number | undefined } | undefined;
}

/** A converted image as a source. */
export interface ConvertedImage {
  readonly source: ImageSource;
  readonly raw: RawManifest;
  /** Creates the manifest for a repository and tag, which are part of it in schema 1. */
  readonly manifestFor?: (repository: string, tag: string) => RawManifest;
  close(): Promise<void>;
}

/** The number of concurrently fetched layers. */
const PARALLEL_LAYERS = 3;
/** The most manifests of an index, because each is fetched and kept in memory. */
const MAX_CONVERTED = 1000;
const NO_INDEX_HINT = 'leave out --format and --compression, or --preserve-digests';

interface Job {
  readonly source: ImageSource;
  readonly top: RawManifest;
  readonly conversion: Conversion;
  /** Fail with UsageError, before fetching anything, if a digest would change. */
  readonly preserveDigests: boolean;
  /** True when every destination has the blob. Default: never. */
  readonly isThere?: LayerJob['isThere'];
  /** Fetch nothing from registries. Layers that would have to be fetched for conversion keep their digests. */
  readonly dryRun?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Converts an image, or an index with all its images, into a new source, to be closed after the copy. Layers that
 * already have the requested form stay unchanged, except those of the local store without any remaining copy of their
 * blob. Attestations and other artifacts stay unchanged. Throws UsageError, UnsupportedMediaTypeError (zstd in v2s2),
 * DigestMismatchError, NotFoundError (neither a copy of a blob nor its files exist), DiskSpaceError, the errors of the
 * source, AbortError.
 */
export async function convertImage(deps: ConvertImageDeps, job: Job): Promise<ConvertedImage> {
  const spool = deps.createSpool();
  try {
    return await new ImageConverter(deps, job, spool).run();
  } catch (error) {
    await spool.close();
    throw error;
  }
}

class ImageConverter {
  readonly #deps: ConvertImageDeps;
  readonly #job: Job;
  readonly #spool: LayerSpool;
  readonly #made: ConvertedSource;
  readonly #layers: LayerConverter;
  readonly #format: ManifestFormat | undefined;

  constructor(deps: ConvertImageDeps, job: Job, spool: LayerSpool) {
    this.#deps = deps;
    this.#job = job;
    this.#spool = spool;
    this.#made = new ConvertedSource(job.source);
    this.#layers = new LayerConverter(deps, { isThere: () => Promise.resolve(false), dryRun: false, ...job, spool });
    const { format } = job.conversion;
    this.#format = format === 'v2s1' ? 'v2s2' : format;
  }

  async run(): Promise<ConvertedImage> {
    const { top, conversion } = this.#job;
    const { format, compression } = conversion;
    // Throws for an impossible combination before any work.
    if (compression !== undefined && this.#format !== undefined) layerMediaType(this.#format, compression.kind, '');
    if (format === 'v2s1') this.#mayChange(top, 'its manifest in schema 1');
    const raw = await this.#any(top);
    const close = (): Promise<void> => this.#spool.close();
    if (format === 'v2s1') return { ...(await this.#asSchema1(raw)), source: this.#made, close };
    if (raw !== top) this.#noteChange(top, raw);
    return { source: this.#made, raw, close };
  }

  async #any(raw: RawManifest): Promise<RawManifest> {
    const { mediaType, digest } = raw.descriptor;
    if (isSchema1Type(mediaType)) return this.#fromSchema1(raw);
    const document = parseManifest(raw.bytes, mediaType, `manifest ${digest}`);
    return document.kind === 'index' ? this.#index(raw, document) : this.#image(raw, document);
  }

  async #image(raw: RawManifest, manifest: ImageManifest): Promise<RawManifest> {
    const { config, layers } = manifest;
    // Encrypted images, attestations and other artifacts are not converted.
    if (!isConfigType(config.mediaType) || !layers.every(({ mediaType }) => isLayerType(mediaType))) return raw;
    const now = formatOf(raw.descriptor.mediaType);
    const format = this.#format ?? now;
    const forms = await mapLimited(layers, 1, (layer) => this.#formFor(layer, format));
    if (format === now && forms.every((form) => form === undefined)) return raw;
    this.#mayChange(raw, 'it');
    const bytes = await this.#config(config);
    const document = parseImageConfig(bytes, `config ${config.digest}`);
    const diffIds = this.#job.source.files?.diffIds ?? document.rootfs.diff_ids;
    const converted = await mapLimited([...layers.keys()], PARALLEL_LAYERS, (position) =>
      this.#layer(layers[position]!, {
        ...{ position, form: forms[position], format, same: format === now, diffId: diffIds[position] },
      }),
    );
    if (format === now && converted.every(({ descriptor }, i) => descriptor.digest === layers[i]!.digest)) return raw;
    const changed = converted.map(({ diffId }) => diffId);
    const packed = changed.some((diffId, i) => diffId !== diffIds[i]);
    return this.#write(manifest, {
      format,
      config: packed ? this.#changeConfig(config, { document, diffIds: changed }) : config,
      layers: converted.map(({ descriptor }) => descriptor),
    });
  }

  /** The new form of a layer; undefined: unchanged. */
  async #formFor(layer: Descriptor, format: ManifestFormat): Promise<LayerForm | undefined> {
    const { compression } = this.#job.conversion;
    // Its URLs provide only these bytes.
    if (isNonDistributable(layer)) return undefined;
    const now = compressionOfType(layer.mediaType);
    const wanted = compression?.kind ?? (allowsCompression(format, now) ? now : 'gzip');
    const stays = wanted === now && compression?.level === undefined;
    if (stays && !(await this.#layers.isLost(layer))) return undefined;
    return { compression: wanted, level: compression?.level };
  }

  async #layer(
    layer: Descriptor,
    how: {
      readonly position: number;
      readonly form: LayerForm | undefined;
      readonly format: ManifestFormat;
      readonly same: boolean;
      readonly diffId: DiffId | undefined;
    },
  ): Promise<{ readonly descriptor: Descriptor; readonly diffId: DiffId | undefined }> {
    const { position, form, format, same, diffId } = how;
    // The media type matters only for layers in a different form.
    if (form === undefined && same) return { descriptor: layer, diffId };
    const mediaType = layerMediaType(format, form?.compression ?? compressionOfType(layer.mediaType), layer.mediaType);
    if (form === undefined) return { descriptor: { ...layer, mediaType }, diffId };
    const made = await this.#layers.convert(layer, form, { position, diffId });
    const { digest, size, spooled } = made;
    const descriptor = digest === layer.digest ? { ...layer, mediaType } : { mediaType, digest, size };
    if (spooled !== undefined) this.#made.addBlob({ descriptor, open: spooled.open });
    return { descriptor, diffId: diffId === undefined ? undefined : made.diffId };
  }

  /** Replaces the diffIDs in a config, because layers were packed again with different bytes. */
  #changeConfig(
    { mediaType, digest }: Descriptor,
    { document, diffIds }: { readonly document: ImageConfig; readonly diffIds: readonly (DiffId | undefined)[] },
  ): Descriptor {
    const { rootfs } = document;
    const bytes = Buffer.from(JSON.stringify({ ...document, rootfs: { ...rootfs, diff_ids: diffIds } }));
    const config = { mediaType, digest: digestOf(bytes), size: bytes.length };
    this.#made.addBlob(blobOfBytes(config, bytes));
    this.#deps.progress.note(`the image's ID is ${config.digest} there, not ${digest}`);
    return config;
  }

  async #config(config: Descriptor): Promise<Buffer> {
    const { source, signal } = this.#job;
    const bytes = await readSmallBlob(source, config, { maxBytes: MAX_CONFIG_BYTES, signal });
    this.#made.addBlob(blobOfBytes(config, bytes));
    return bytes;
  }

  #write(
    manifest: ImageManifest,
    to: { readonly format: ManifestFormat; readonly config: Descriptor; readonly layers: readonly Descriptor[] },
  ): RawManifest {
    const { mediaType, document, lost } = convertManifest(manifest, to);
    if (lost.length > 0) this.#deps.progress.note(`Docker manifests cannot hold ${lost.join(' and ')}`);
    return this.#add({ ...document, mediaType });
  }

  #add(document: Parameters<typeof rawManifest>[0]): RawManifest {
    const raw = rawManifest(document);
    this.#made.addManifest(raw);
    return raw;
  }

  async #index(raw: RawManifest, index: ImageIndex): Promise<RawManifest> {
    const { source, signal, conversion } = this.#job;
    if (conversion.format === 'v2s1') {
      throw new UsageError('schema 1 (v2s1) holds one image, not an index', { hint: 'choose one with --platform' });
    }
    if (index.manifests.length > MAX_CONVERTED) {
      throw new InvalidManifestError(
        `index ${raw.descriptor.digest} lists ${index.manifests.length} manifests, over the limit of ${MAX_CONVERTED} for a conversion`,
        { where: raw.descriptor.digest, hint: 'copy it as it is, or choose images with --platform' },
      );
    }
    const changed = new Set<Digest>();
    const entries: Descriptor[] = [];
    for (const entry of index.manifests) {
      if (!isIndexType(entry.mediaType) && !isManifestType(entry.mediaType)) {
        entries.push(entry);
        continue;
      }
      const child = await source.manifest({ digest: entry.digest }, { signal });
      const { mediaType, digest, size } = (await this.#any(child)).descriptor;
      if (digest !== entry.digest) changed.add(entry.digest);
      entries.push({ ...entry, mediaType, digest, size });
    }
    const about = entries.filter(({ annotations }) => changed.has((annotations?.[ABOUT] ?? '') as Digest));
    if (about.length > 0) {
      this.#deps.progress.note(`${about.length} attestations are left out: they are about the digests from before`);
    }
    const ofFormat = { oci: MEDIA_TYPE.ociIndex, v2s2: MEDIA_TYPE.dockerManifestList };
    const mediaType = this.#format === undefined ? raw.descriptor.mediaType : ofFormat[this.#format];
    if (changed.size === 0 && mediaType === raw.descriptor.mediaType) return raw;
    this.#mayChange(raw, 'the index');
    const manifests = entries.filter((entry) => !about.includes(entry));
    if (mediaType !== MEDIA_TYPE.dockerManifestList) {
      const {
        schemaVersion,
        mediaType: _before,
        ...more
      } = JSON.parse(raw.bytes.toString('utf8')) as Record<string, unknown>;
      return this.#add({ schemaVersion, mediaType, ...more, manifests });
    }
    if ([index, ...manifests].some(({ annotations }) => annotations !== undefined)) {
      this.#deps.progress.note('Docker manifest lists cannot hold annotations');
    }
    const plain = manifests.map(({ mediaType: type, digest, size, platform }) => ({
      ...{ mediaType: type, size, digest },
      ...(platform === undefined ? {} : { platform }),
    }));
    return this.#add({ schemaVersion: 2, mediaType, manifests: plain });
  }

  /** Converts an image of schema 1. Reads its layers, because their diffIDs are needed for a config. */
  async #fromSchema1(raw: RawManifest): Promise<RawManifest> {
    const { signal, source, conversion } = this.#job;
    this.#mayChange(raw, 'it');
    const { digest } = raw.descriptor;
    const schema1 = parseSchema1(raw.bytes, raw.descriptor.mediaType, `manifest ${digest}`);
    const format = this.#format ?? 'oci';
    const { compression } = conversion;
    const form =
      compression === undefined || (compression.kind === 'gzip' && compression.level === undefined)
        ? undefined
        : { compression: compression.kind, level: compression.level };
    const blobs = new Map((await sizedBlobs(source, raw, signal)).map((blob) => [blob.digest, blob]));
    const steps = schema1.steps.filter(({ empty }) => !empty);
    const layers = await mapLimited([...steps.entries()], PARALLEL_LAYERS, async ([position, { blob }]) => {
      const { spooled, diffId, ...made } = await this.#layers.convert(blobs.get(blob)!, form, { position });
      const mediaType = layerMediaType(format, form?.compression ?? 'gzip', '');
      const descriptor = { mediaType, digest: made.digest, size: made.size };
      if (spooled !== undefined) this.#made.addBlob({ descriptor, open: spooled.open });
      return { descriptor, diffId };
    });
    const bytes = configOfSchema1(
      schema1,
      layers.map(({ diffId }) => diffId),
    );
    const config = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(bytes), size: bytes.length };
    this.#made.addBlob(blobOfBytes(config, bytes));
    const manifest = { kind: 'manifest', mediaType: MEDIA_TYPE.ociManifest, config, layers: [] } as const;
    return this.#write(manifest, { format, config, layers: layers.map(({ descriptor }) => descriptor) });
  }

  async #asSchema1(raw: RawManifest): Promise<Pick<ConvertedImage, 'raw' | 'manifestFor'>> {
    const where = `manifest ${raw.descriptor.digest}`;
    const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType, where);
    if (manifest.kind === 'index' || formatOf(raw.descriptor.mediaType) !== 'v2s2') {
      throw new UsageError(`${where} is no image, so it has no form in schema 1`, { hint: 'leave out --format' });
    }
    const { signal } = this.#job;
    const config = await readSmallBlob(this.#made, manifest.config, { maxBytes: MAX_CONFIG_BYTES, signal });
    const empty = { mediaType: MEDIA_TYPE.dockerLayerGzip, digest: digestOf(EMPTY_LAYER), size: EMPTY_LAYER.length };
    this.#made.addBlob(blobOfBytes(empty, EMPTY_LAYER));
    for (const layer of manifest.layers) this.#made.addBlob({ ...this.#made.blob(layer), descriptor: layer });
    const digests = manifest.layers.map(({ digest }) => digest);
    const built = new Map<string, RawManifest>();
    const manifestFor = (name: string, tag: string): RawManifest => {
      const known = built.get(`${name}:${tag}`);
      if (known !== undefined) return known;
      const { bytes, digest } = buildSchema1(config, digests, { name, tag });
      const made = { bytes, descriptor: { mediaType: MEDIA_TYPE.dockerSchema1Signed, digest, size: bytes.length } };
      built.set(`${name}:${tag}`, made);
      return made;
    };
    return { raw, manifestFor };
  }

  #noteChange(before: RawManifest, now: RawManifest): void {
    const { progress } = this.#deps;
    const [from, to] = [before.descriptor, now.descriptor];
    if (this.#job.source.files === undefined)
      return progress.note(`converted: the digest is ${to.digest}, not ${from.digest}`);
    progress.note(`the manifest is ${to.digest}, not ${from.digest} as in the store`);
  }

  #mayChange({ descriptor: { digest } }: RawManifest, what: string): void {
    if (!this.#job.preserveDigests) return;
    throw new UsageError(`converting ${what} would change its digest ${digest}`, {
      hint: NO_INDEX_HINT,
    });
  }
}
