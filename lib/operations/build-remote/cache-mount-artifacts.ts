import { PassThrough } from 'node:stream';
import { StoreError } from '../../errors.js';
import { layerMediaType, parseDigest, type Descriptor } from '../../spec/index.js';
import { bothOrFirstError, formatSize, GrowingFile, thenCloseAll } from '../../util/index.js';
import type { CacheMountKeeper } from '../build/index.js';
import { Spool, type SpooledFile } from '../build-context/index.js';
import type { OperationDeps } from '../deps.js';
import { withWorkKey } from '../store/index.js';
import { spooledBlob } from './built-image.js';
import { artifactError, cacheArtifact, CacheRepository, tolerating, type Repository } from './cache-repository.js';
import { fetchLayer } from './layer-indexes.js';

/** Media type of the record of a cache mount. */
const CACHE_MOUNT_TYPE = 'application/vnd.imgtool.build.cache-mount.v1+json';
/** Size limit of a cache mount in compressed bytes; larger ones are neither stored nor loaded. */
const MAX_BYTES = 4 * 2 ** 30;

export type CacheMountDeps = Pick<
  OperationDeps,
  'registry' | 'metadata' | 'snapshots' | 'compareTrees' | 'packLayer' | 'createApplier' | 'progress'
> & {
  /** Directory for temporary files. */
  readonly temporaryDirectory: string;
};

/**
 * Stores cache mounts at registries: one artifact each, tagged with the hash of its ID, with its files as the only
 * layer. A registry failure is a warning. The caller closes it.
 */
export class CacheMountArtifacts implements CacheMountKeeper {
  readonly #deps: CacheMountDeps;
  readonly #from: readonly CacheRepository[];
  readonly #to: readonly CacheRepository[];
  readonly #signal: AbortSignal;
  readonly #spool: Spool;
  /** IDs by store key. */
  readonly #used = new Map<string, string>();

  constructor(
    deps: CacheMountDeps,
    {
      from,
      to,
      signal,
    }: { readonly from: readonly Repository[]; readonly to: readonly Repository[]; readonly signal: AbortSignal },
  ) {
    const open = (place: Repository): CacheRepository => new CacheRepository(deps.registry, place, signal);
    this.#deps = deps;
    this.#from = from.map(open);
    this.#to = to.map(open);
    this.#signal = signal;
    this.#spool = new Spool(deps.temporaryDirectory);
  }

  used(key: string, id: string): void {
    this.#used.set(key, id);
  }

  async restore(
    key: string,
    { id, directory }: { readonly id: string; readonly directory: string },
  ): ReturnType<CacheMountKeeper['restore']> {
    for (const repository of this.#from) {
      const what = `the cache mount ${id} is not taken from ${repository.name}`;
      const file = await this.#tolerating(what, () => this.#fetch(repository, key, id));
      if (file === undefined) continue;
      const applier = await this.#deps.createApplier();
      const { fd, size } = file;
      const job = { fd, growing: GrowingFile.complete(size), size, root: directory, signal: this.#signal };
      const applied = await thenCloseAll(
        () => this.#tolerating(what, () => applier.apply(job)),
        [() => applier.close(), () => this.#spool.drop(file.fd)],
      );
      return applied === undefined ? 'broken' : 'done';
    }
    return 'none';
  }

  /** Uploads the cache mounts used by the build, unless the repository has the same files. Throws AbortError. */
  async keep(): Promise<void> {
    if (this.#to.length === 0) return;
    const lock = await this.#deps.metadata.lock('store', { mode: 'shared', signal: this.#signal });
    try {
      // The image is already built, so a full disk is no reason to fail.
      for (const [key, id] of this.#used)
        await this.#tolerating(`the cache mount ${id} is not kept`, () => this.#keepOne(key, id), { orFull: true });
    } finally {
      lock.release();
    }
  }

  close(): void {
    this.#spool.close();
  }

  /** Fetches the files of a cache mount as a layer in a temporary file; undefined if the repository has none. */
  async #fetch(repository: CacheRepository, key: string, id: string): Promise<SpooledFile | undefined> {
    if ((await repository.find(tagOf(key))) === undefined) return undefined;
    const { record, layers } = await repository.read(tagOf(key), CACHE_MOUNT_TYPE);
    const [layer, ...more] = layers;
    if (layer === undefined || more.length > 0 || JSON.stringify(record) !== JSON.stringify(recordOf(id)))
      throw artifactError(tagOf(key));
    if (layer.size > MAX_BYTES) throw tooLargeError(repository.name);
    const { progress } = this.#deps;
    return fetchLayer(await repository.layer(layer), { spool: this.#spool, progress, signal: this.#signal });
  }

  async #keepOne(key: string, id: string): Promise<void> {
    const { blob, file } = await this.#pack(key);
    const artifact = cacheArtifact(CACHE_MOUNT_TYPE, recordOf(id), [blob]);
    try {
      for (const repository of this.#to)
        await this.#tolerating(`the cache mount ${id} is not kept at ${repository.name}`, async () => {
          if ((await repository.find(tagOf(key))) === artifact.manifest.descriptor.digest) return;
          await repository.put(tagOf(key), artifact, { open: () => spooledBlob({ blob, file }) });
        });
    } finally {
      this.#spool.drop(file.fd);
    }
  }

  /** Packs a snapshot of a cache mount. */
  #pack(key: string): Promise<{ readonly blob: Descriptor; readonly file: SpooledFile }> {
    const { snapshots, compareTrees, packLayer, progress } = this.#deps;
    const signal = this.#signal;
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

  #tolerating<T>(what: string, work: () => Promise<T>, { orFull = false } = {}): Promise<T | undefined> {
    const onFault = ({ message }: Error): void => this.#deps.progress.note(`warning: ${what}: ${message}`);
    return tolerating({ onFault, orFull, signal: this.#signal }, work);
  }
}

function recordOf(id: string): object {
  return { version: 1, id };
}

async function* limited(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > MAX_BYTES) throw tooLargeError('the store');
    yield chunk;
  }
}

function tooLargeError(path: string): StoreError {
  return new StoreError(`it is larger than ${formatSize(MAX_BYTES)}`, { path });
}

function tagOf(key: string): string {
  return `cm-${key}`;
}
