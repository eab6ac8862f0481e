import { PassThrough, Readable } from 'node:stream';
import { DiskSpaceError, InvalidManifestError } from '../../errors.js';
import type { RepositoryReader } from '../../registry/index.js';
import {
  digestOf,
  layerMediaType,
  MEDIA_TYPE,
  parseDigest,
  parseManifest,
  rawManifest,
  type Descriptor,
  type ImageManifest,
  type Reference,
} from '../../spec/index.js';
import { bothOrFirstError, formatSize, GrowingFile } from '../../util/index.js';
import type { CacheMountKeeper } from '../build/index.js';
import { Spool, type SpooledFile } from '../build-context/index.js';
import type { OperationDeps } from '../deps.js';
import { readBlob, reopenable, findTag } from '../registry/index.js';
import { withWorkKey } from '../store/index.js';
import { spooledBlob } from './built-image.js';
import { fetchLayer } from './layer-indexes.js';
import { tolerated } from './tolerated.js';

type Repository = Pick<Reference, 'host' | 'repository'>;

/** Media type of the config of a cache mount's artifact. */
const CACHE_MOUNT_TYPE = 'application/vnd.imgtool.build.cache-mount.v1+json';
const MAX_RECORD_BYTES = 64 * 1024;
/** Larger cache mounts are neither kept nor taken: bytes, compressed. */
const MAX_BYTES = 4 * 2 ** 30;

export type CacheMountDeps = Pick<
  OperationDeps,
  'registry' | 'metadata' | 'snapshots' | 'compareTrees' | 'packLayer' | 'createApplier' | 'progress'
> & {
  /** Directory for temporary files. */
  readonly temporaryDirectory: string;
};

/**
 * Keeps cache mounts at registries: one artifact each, tagged with the hash of its ID, with its files as the only layer. A registry
 * that fails is a warning. To be closed.
 */
export class CacheMountArtifacts implements CacheMountKeeper {
  readonly #deps: CacheMountDeps;
  readonly #options: {
    readonly from: readonly Repository[];
    readonly to: readonly Repository[];
    readonly signal: AbortSignal;
  };
  readonly #spool: Spool;
  /** IDs by their keys in the store. */
  readonly #used = new Map<string, string>();

  constructor(
    deps: CacheMountDeps,
    options: { readonly from: readonly Repository[]; readonly to: readonly Repository[]; readonly signal: AbortSignal },
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#spool = new Spool(deps.temporaryDirectory);
  }

  used(key: string, id: string): void {
    this.#used.set(key, id);
  }

  async restore(
    key: string,
    { id, directory }: { readonly id: string; readonly directory: string },
  ): ReturnType<CacheMountKeeper['restore']> {
    const { signal } = this.#options;
    for (const place of this.#options.from) {
      const options = { failure: `the cache mount ${id} is not taken from ${nameOf(place)}`, signal };
      const file = await tolerated(this.#deps, options, () => this.#fetch(place, key, id));
      if (file === undefined) continue;
      const applier = await this.#deps.createApplier();
      try {
        const job = { fd: file.fd, growing: GrowingFile.complete(file.size), root: directory, signal };
        const applied = await tolerated(this.#deps, options, () => applier.apply(job));
        return applied === undefined ? 'broken' : 'done';
      } finally {
        await applier.close();
        this.#spool.drop(file.fd);
      }
    }
    return 'none';
  }

  /** Uploads the cache mounts that the build used, unless the repository has the same files already. Throws AbortError. */
  async keep(): Promise<void> {
    const { metadata } = this.#deps;
    const { to, signal } = this.#options;
    if (to.length === 0) return;
    const lock = await metadata.lock('store', { mode: 'shared', signal });
    try {
      for (const [key, id] of this.#used)
        await tolerated(this.#deps, { failure: `the cache mount ${id} is not kept`, signal }, async () => {
          const { blob, file } = await this.#pack(key);
          try {
            for (const place of to) {
              const failure = `the cache mount ${id} is not kept at ${nameOf(place)}`;
              await tolerated(this.#deps, { failure, signal }, () => this.#put(place, { key, id, blob, file }));
            }
          } finally {
            this.#spool.drop(file.fd);
          }
        });
    } finally {
      lock.release();
    }
  }

  close(): void {
    this.#spool.close();
  }

  /** The files of a cache mount as a layer in a temporary file; undefined: the repository has none. */
  async #fetch(place: Repository, key: string, id: string): Promise<SpooledFile | undefined> {
    const { registry, progress } = this.#deps;
    const { signal } = this.#options;
    const reader = await registry.open(place, { signal, mirrors: false });
    const layer = await findLayer(reader, key, { id, signal });
    if (layer === undefined) return undefined;
    if (layer.size > MAX_BYTES) throw tooLargeError();
    return fetchLayer(reopenable(reader.blob(layer)), { spool: this.#spool, progress, signal });
  }

  /** Packs a snapshot of a cache mount. */
  #pack(key: string): Promise<{ readonly blob: Descriptor; readonly file: SpooledFile }> {
    const { snapshots, compareTrees, packLayer, progress } = this.#deps;
    const { signal } = this.#options;
    return withWorkKey(this.#deps, signal, async (workKey) => {
      const upper = await snapshots.copyCache(workKey, key);
      const changes = await compareTrees({ lower: undefined, upper, signal });
      const output = new PassThrough();
      const [{ notes }, file] = await bothOrFirstError(
        packLayer({
          ...{ lower: undefined, upper, compression: 'gzip', output, signal },
          changes: [{ kind: 'C', path: Buffer.from('/') }, ...changes],
        }),
        this.#spool.take(limited(output as AsyncIterable<Buffer>), signal),
      );
      for (const note of notes) progress.note(note);
      const digest = parseDigest(`sha256:${file.hash}`);
      return { blob: { mediaType: layerMediaType('oci', 'gzip', ''), digest, size: file.size }, file };
    });
  }

  async #put(
    place: Repository,
    {
      key,
      id,
      blob,
      file,
    }: { readonly key: string; readonly id: string; readonly blob: Descriptor; readonly file: SpooledFile },
  ): Promise<void> {
    const { signal } = this.#options;
    const { registry } = this.#deps;
    const record = Buffer.from(JSON.stringify({ version: 1, id }));
    const config = { mediaType: CACHE_MOUNT_TYPE, digest: digestOf(record), size: record.length };
    const mediaType = MEDIA_TYPE.ociManifest;
    const manifest = rawManifest({
      ...{ schemaVersion: 2, mediaType, artifactType: CACHE_MOUNT_TYPE, config, layers: [blob] },
    });
    const reader = await registry.open(place, { signal, mirrors: false });
    const kept = await findTag(reader, tagOf(key), signal);
    if (kept?.digest === manifest.descriptor.digest) return;
    const writer = await registry.openWriter(place, { signal });
    if (!(await writer.hasBlob(blob.digest, { signal })))
      await writer.uploadBlob(spooledBlob({ blob, file }), { signal });
    const open = ({ offset }: { readonly offset: number }): Promise<Readable> =>
      Promise.resolve(Readable.from([record.subarray(offset)]));
    await writer.uploadBlob({ descriptor: config, open }, { signal });
    await writer.putManifest(manifest, { tag: tagOf(key) }, { signal });
  }
}

async function findLayer(
  reader: RepositoryReader,
  key: string,
  { id, signal }: { readonly id: string; readonly signal: AbortSignal },
): Promise<Descriptor | undefined> {
  if ((await findTag(reader, tagOf(key), signal)) === undefined) return undefined;
  const where = `cache mount ${tagOf(key)}`;
  const raw = await reader.manifest({ tag: tagOf(key) }, { signal });
  const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType, where) as ImageManifest;
  const [layer, ...more] = manifest.layers ?? [];
  if (manifest.config?.mediaType !== CACHE_MOUNT_TYPE || layer === undefined || more.length > 0)
    throw new InvalidManifestError(`${where} is no cache mount`, { where });
  const record = await readBlob(reader.blob(manifest.config), { maxBytes: MAX_RECORD_BYTES, signal });
  if (JSON.stringify({ version: 1, id }) !== record.toString())
    throw new InvalidManifestError(`${where} is another cache mount`, { where });
  return layer;
}

async function* limited(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > MAX_BYTES) throw tooLargeError();
    yield chunk;
  }
}

function tooLargeError(): DiskSpaceError {
  return new DiskSpaceError(`it is larger than ${formatSize(MAX_BYTES)}`);
}

function tagOf(key: string): string {
  return `cm-${key}`;
}

function nameOf({ host, repository }: Repository): string {
  return `${host}/${repository}`;
}
